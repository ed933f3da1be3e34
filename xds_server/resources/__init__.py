"""Builds Envoy's and the translators' resources from the desired state, without I/O."""
