"""Reads what the bodies of requests say, without I/O, so that any process can do it."""
