"""The running and waiting requests, when an operator asks; nothing here costs a request anything."""
