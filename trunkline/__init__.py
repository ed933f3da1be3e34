"""The command line: runs a gateway on one machine and administers gateways."""
