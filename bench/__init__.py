"""Compares the gateway with a bare Envoy in one run on one machine: `make bench`, or `python -m bench --help`."""
