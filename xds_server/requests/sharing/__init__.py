"""Gateways with the same credentials share their quotas and what providers say about them (docs/quota.md)."""
