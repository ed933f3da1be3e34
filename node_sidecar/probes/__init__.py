"""Probes of local inference servers. No probe generates a token or wakes a sleeping model."""
