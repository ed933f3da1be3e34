"""The console: its files, and the calls that answer a view in one."""
