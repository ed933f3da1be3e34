"""Lets gateways with the same credentials share their quotas and what providers report about them
(docs/quota.md).
"""
