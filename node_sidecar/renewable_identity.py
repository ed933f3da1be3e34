"""Holds the node's current identity. It is renewed while the node runs; each new connection uses the current
one.
"""

from __future__ import annotations

import ssl

from node_sidecar.identity import Identity, IdentityStore


class RenewableIdentity:
    """The identity in use, which `renew` replaces for new connections."""

    def __init__(self, store: IdentityStore) -> None:
        """Raises NotJoinedError, IdentityError."""
        self._store = store
        self.current: Identity = store.load()

    def renew(self, key_pem: bytes, certificate_pem: bytes) -> None:
        """Stores a renewed certificate and uses it from now on.

        Raises:
            IdentityError: the certificate cannot be used; the old one stays.
            OSError: it cannot be stored; the old one stays in force.
        """
        renewed = self.current.renewed(key_pem, certificate_pem)
        self._store.save_certificate(renewed)
        self.current = renewed

    def client_context(self) -> ssl.SSLContext:
        """Returns a TLS context for a connection to the gateway, with the current certificate."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def server_context(self) -> ssl.SSLContext:
        """Returns a TLS context for a connection from the gateway."""
        return self._context(ssl.PROTOCOL_TLS_SERVER)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.current.ca_pem.decode("ascii"))
        context.load_cert_chain(self._store.certificate_file)
        return context
