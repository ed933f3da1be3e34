"""Usage records as plain values, below both the ledger that stores them and the routing rules that read them."""
