"""The rules of routing: from usage records to measurements, from these to the order of a route's targets.

Nothing here does I/O or reads a clock. Every replica of the control plane that sees the same slots and the same
previous ranking computes the same ranking.
"""
