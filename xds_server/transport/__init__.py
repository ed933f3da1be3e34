"""Serves the protocol core over gRPC."""
