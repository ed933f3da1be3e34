"""Starts, watches, restarts and stops the processes on one machine."""
