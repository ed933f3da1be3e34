"""The preferences of the node's owner: prices, hours, capacity, callers. No I/O and no clock, except in
`store`.
"""
