"""The smoke test: checks what a running gateway promises, and leaves nothing behind."""
