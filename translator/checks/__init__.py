"""Envoy's checks of requests over a connection of their own: the counterpart of `envoy/module`.

The protocol is our own rather than HTTP because every request of the gateway pays for it. One connection carries
many checks at once, in any order. Everything that has arrived is read, decided and answered together.
"""
