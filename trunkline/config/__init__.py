"""Reads trunkline.yaml with positions, checks it, and converts it to the admin Document and back."""
