"""A CA and the certificates that it signs, as the gateway and its nodes use them."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

GATEWAY_NAME = "gateway.trunkline.internal"
_NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


class CertificateAuthority:
    """One CA (P-256); `pem` is its certificate."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trunkline nodes")])
        made = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, 0), critical=True)
        self.pem = _pem(made.sign(self._key, hashes.SHA256()))

    def issue(self, *names: str, days: float = 1) -> Identity:
        """Returns a certificate with these DNS names; with negative `days`, it expired that long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(x509.Name([]), key, days)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            made = made.add_extension(alternatives, critical=True)
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Identity(_pem(made.sign(self._key, hashes.SHA256())), text.decode())

    @staticmethod
    def self_signed(key: ed25519.Ed25519PrivateKey) -> str:
        """Returns a certificate of a self-signed key."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self")])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - datetime.timedelta(days=1))
            .not_valid_after(_NOW + datetime.timedelta(days=1))
        )
        return _pem(made.sign(key, None))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: float = 1
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - datetime.timedelta(days=abs(days) + 1))
            .not_valid_after(_NOW + datetime.timedelta(days=days))
        )


@dataclass(frozen=True)
class NodeTls:
    """The certificates that a node trusts and presents; without an identity it presents none."""

    ca_pem: str
    identity: Identity | None = field(default=None, repr=False)

    def client(self, *protocols: str) -> ssl.SSLContext:
        """Returns a context for connections to the gateway, whose name is GATEWAY_NAME."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        context.set_alpn_protocols(protocols or ("http/1.1",))
        return self._showing(context)

    def server(self) -> ssl.SSLContext:
        """Returns a context for the gateway's direct connections."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cadata=self.ca_pem)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        return self._showing(context)

    def _showing(self, context: ssl.SSLContext) -> ssl.SSLContext:
        if self.identity is not None:
            with tempfile.TemporaryDirectory() as directory:
                certificate, key = Path(directory, "certificate"), Path(directory, "key")
                certificate.write_text(self.identity.certificate)
                key.write_text(self.identity.key)
                context.load_cert_chain(certificate, key)
        return context


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
