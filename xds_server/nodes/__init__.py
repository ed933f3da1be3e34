"""Nodes: their identity, their health, and what they offer."""
