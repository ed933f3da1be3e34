"""Imports configurations of other gateways as trunkline.yaml."""
