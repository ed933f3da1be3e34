"""The console: its files, and the calls that each answer one view."""
