"""Measures how much of the machine its owner uses: the total use minus that of the local servers and the
sidecar.
"""
