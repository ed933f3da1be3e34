"""Nodes: who they are, whether they live, and what they offer."""
