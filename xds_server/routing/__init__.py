"""The rules of routing: from usage records to measurements, and from these to the order of a route's targets.

Nothing here does I/O or reads a clock. All replicas of the control plane that see the same slots and the same
previous ranking compute the same ranking.
"""
