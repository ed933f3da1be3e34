"""The smoke test: tries what a running gateway promises, and leaves nothing behind."""
