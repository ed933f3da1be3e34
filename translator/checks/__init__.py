"""Envoy's checks about its requests, over a connection of their own: the other half of `envoy/module`.

Ours and not HTTP because every request of the gateway pays for it. One connection carries many checks at once,
in any order, and what has gathered is read, decided and answered together.
"""
