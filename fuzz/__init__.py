"""Fuzzing of everything that reads what a stranger wrote: `make fuzz`. See docs/fuzzing.md."""
