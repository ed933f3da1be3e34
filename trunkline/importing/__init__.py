"""Configurations of other gateways as trunkline.yaml."""
