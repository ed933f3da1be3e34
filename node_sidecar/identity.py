"""The node's identity: its key, its certificate, and the only CA that it trusts.

It consists of three files in the state directory, mode 0600. `identity.pem` has the key and the chain together, so
that no crash can leave a key with another key's certificate. `node.json` is written last when joining, and marks
the identity as complete.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from node_sidecar.errors import IdentityError, NotJoinedError
from node_sidecar.files import write_private

#: The DNS name in the gateway's certificate, at every address.
GATEWAY_NAME = "gateway.trunkline.internal"


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """The gateway's answer when the node joined. `gateway` is host:port of its tunnel listener."""

    node_id: str
    name: str
    gateway: str
    joined_at: str


@dataclass(frozen=True, slots=True)
class Identity:
    """`certificate_pem` has the leaf first; `not_before` and `not_after` are the leaf's, in UTC."""

    record: NodeRecord
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes = field(repr=False)
    ca_pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime

    @property
    def renew_at(self) -> datetime:
        """The moment at which half of the certificate's life is over."""
        return self.not_before + (self.not_after - self.not_before) / 2

    def expired(self, now: datetime) -> bool:
        """Returns whether the certificate has expired at `now`, which has a time zone."""
        return now >= self.not_after

    def remaining(self, now: datetime) -> timedelta:
        """Returns the time until the certificate expires; negative afterwards."""
        return self.not_after - now

    def renewed(self, key_pem: bytes, certificate_pem: bytes) -> Identity:
        """Returns this identity with a new certificate.

        Raises:
            IdentityError: the certificate is not for this key, this node, or not by this CA.
        """
        leaf = checked_leaf(certificate_pem, key_pem, self.ca_pem, self.record.node_id)
        return replace(
            self,
            key_pem=key_pem,
            certificate_pem=certificate_pem,
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        )


def new(record: NodeRecord, key_pem: bytes, certificate_pem: bytes, ca_pem: bytes) -> Identity:
    """Makes an identity from its parts.

    Raises:
        IdentityError: as `Identity.renewed`.
    """
    leaf = checked_leaf(certificate_pem, key_pem, ca_pem, record.node_id)
    return Identity(record, key_pem, certificate_pem, ca_pem, leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def make_request() -> tuple[bytes, bytes]:
    """Makes a new P-256 key and a certificate request for it, both PEM. The gateway decides the names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trunkline-node")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        request.public_bytes(Encoding.PEM),
    )


def checked_leaf(certificate_pem: bytes, key_pem: bytes, ca_pem: bytes, node_id: str) -> x509.Certificate:
    """Returns the leaf if it belongs to this node and this key and is signed by this CA.

    Raises:
        IdentityError: it is not, or one of them is damaged.
    """
    try:
        leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
        public = _public_bytes(key_pem)
        ca = x509.load_pem_x509_certificate(ca_pem)
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, IndexError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise IdentityError(f"the certificate cannot be used ({type(error).__name__})") from error
    if leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public:
        raise IdentityError("the certificate is for another key")
    if names.get_values_for_type(x509.DNSName) != [node_id]:
        raise IdentityError(f"the certificate is not for {node_id}")
    return leaf


def _public_bytes(key_pem: bytes) -> bytes:
    key = load_pem_private_key(key_pem, password=None)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class IdentityStore:
    """The stored identity. `directory` exists and is private."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._node = directory / "node.json"
        self._ca = directory / "ca.pem"
        #: Key and certificate chain in one file, as `ssl.SSLContext.load_cert_chain` reads it.
        self.certificate_file = directory / "identity.pem"

    @property
    def exists(self) -> bool:
        """True if this machine has joined: the identity is complete."""
        return self._node.exists()

    def load(self) -> Identity:
        """Loads the identity.

        Raises:
            NotJoinedError: there is none.
            IdentityError: a file of it is damaged.
        """
        try:
            record = NodeRecord(**json.loads(self._node.read_text()))
            both, ca_pem = self.certificate_file.read_bytes(), self._ca.read_bytes()
        except FileNotFoundError as error:
            raise NotJoinedError(
                f"this machine has not joined a gateway yet (no identity in {self._directory}): run the command "
                "that `trunkline nodes invite` prints"
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise IdentityError(
                f"the identity in {self._directory} cannot be read ({type(error).__name__}); "
                "join again with --replace"
            ) from error
        marker = b"-----BEGIN CERTIFICATE-----"
        key_pem, _, chain = both.partition(marker)
        try:
            return new(record, key_pem, marker + chain, ca_pem)
        except IdentityError as error:
            raise IdentityError(
                f"the identity in {self._directory} is damaged: {error}; join again with --replace"
            ) from error

    def save(self, identity: Identity) -> None:
        """Stores the identity after joining."""
        self._node.unlink(missing_ok=True)
        write_private(self._ca, identity.ca_pem)
        self.save_certificate(identity)
        write_private(self._node, json.dumps(asdict(identity.record), indent=2).encode())

    def save_certificate(self, identity: Identity) -> None:
        """Stores the certificate after a renewal by replacing one file atomically."""
        write_private(self.certificate_file, identity.key_pem.rstrip() + b"\n" + identity.certificate_pem)

    def remove(self) -> None:
        """Removes the identity after leaving."""
        for path in (self._node, self.certificate_file, self._ca):
            path.unlink(missing_ok=True)


def utc_now() -> datetime:
    """Returns the current time with UTC as its zone, which certificates' dates can be compared with."""
    return datetime.now(UTC)
