"""Fuzzes everything that reads untrusted input: `make fuzz`. See docs/fuzzing.md."""
