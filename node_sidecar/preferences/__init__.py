"""What the node's owner wants: prices, hours, how much, for whom. No I/O and no clock, but for `store`."""
