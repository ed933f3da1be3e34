"""Nodes: who they are, what they report, and the pools that follow from it."""
