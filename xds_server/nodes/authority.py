"""The gateway's CA: signs the certificates of nodes and the gateway's own.

Its key and certificate are in the store, sealed like credentials; the replica that starts first makes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xds_server.nodes.csr import PublicKey, public_key_of
from xds_server.resources.settings import GatewayTls
from xds_server.store import Store

#: The gateway's only name, at every address.
GATEWAY_NAME = "gateway.trunkline.internal"

_SECRET = "nodes_ca"  # noqa: S105  # the name, not the key
_CA_LIFE = timedelta(days=3_652)
_GATEWAY_LIFE = timedelta(days=365)
_NODE_LIFE = timedelta(hours=24)
#: Certificates begin this long ago, because nodes' clocks may be some minutes off.
_SKEW = timedelta(minutes=5)
#: Seconds between two checks of the gateway certificate's age; a machine that slept checks soon after it wakes.
_INTERVAL = 3_600.0
_NODE_ID = re.compile(r"nd-[a-z0-9-]{1,60}")

_log = structlog.get_logger(__name__)


class Authority:
    """Issues certificates. Thread-safe apart from `run`. `clock` gives Unix seconds."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, clock: Callable[[], float]
    ) -> None:
        """Use `open`."""
        self._key = key
        self._certificate = certificate
        self._clock = clock
        #: The CA that nodes pin, as PEM, and the SHA-256 of its DER in hex.
        self.ca_pem = certificate.public_bytes(Encoding.PEM)
        self.fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        self._gateway, self._renew_at = self._issue_gateway()

    @classmethod
    def open(cls, store: Store, *, clock: Callable[[], float] = time.time) -> Authority:
        """Returns the database's CA, which is made if there is none yet. Raises DatabaseUnavailableError,
        SecretKeyError.
        """
        pem = store.secret(_SECRET, lambda: _make_ca(_moment(clock)))
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  # _make_ca makes no other
        return cls(key, x509.load_pem_x509_certificate(pem), clock)

    def key_hash(self, csr_pem: bytes) -> bytes:
        """Returns the SHA-256 of the public key in the request, as DER. Raises CsrError."""
        key = public_key_of(csr_pem)
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

    def issue(self, node_id: str, csr_pem: bytes) -> bytes:
        """Issues a PEM certificate for 24 hours whose only DNS name is `node_id`. Raises CsrError."""
        if not _NODE_ID.fullmatch(node_id):
            raise ValueError(f"{node_id!r} is not a node's id")
        certificate, _ = self._issue(node_id, public_key_of(csr_pem), _NODE_LIFE)
        return certificate

    def gateway_tls(self) -> GatewayTls:
        """Returns what the tunnel listener presents, and the pools to direct nodes."""
        return self._gateway

    async def run(self, on_renewed: Callable[[GatewayTls], None]) -> None:
        """Renews the gateway's certificate at half of its life, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            if self._clock() >= self._renew_at:
                self._gateway, self._renew_at = self._issue_gateway()
                _log.info("gateway certificate renewed")
                on_renewed(self._gateway)

    def _issue_gateway(self) -> tuple[GatewayTls, float]:
        """Issues a certificate for a new key; returns it and when to renew it, in Unix seconds."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, ends = self._issue(GATEWAY_NAME, key.public_key(), _GATEWAY_LIFE)
        now = self._clock()
        tls = GatewayTls(self.ca_pem.decode(), certificate.decode(), _key_pem(key).decode())
        return tls, now + (ends.timestamp() - now) / 2

    def _issue(self, name: str, public_key: PublicKey, life: timedelta) -> tuple[bytes, datetime]:
        """Issues a certificate for client and server use: gateway and direct nodes are either to each other."""
        now = _moment(self._clock)
        ends = min(now + life, self._certificate.not_valid_after_utc)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = (
            _builder(name, self._certificate.subject, public_key, now - _SKEW, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), ends


def _make_ca(now: datetime) -> bytes:
    """Returns key and certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "Trunkline nodes CA"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(name, subject, key.public_key(), now - _SKEW, now + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key) + certificate.public_bytes(Encoding.PEM)


def _builder(
    name: str, issuer: x509.Name, public_key: PublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _moment(clock: Callable[[], float]) -> datetime:
    return datetime.fromtimestamp(int(clock()), UTC)
