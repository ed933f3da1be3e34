"""What the bodies of requests say: read without I/O, so that any process can do it."""
