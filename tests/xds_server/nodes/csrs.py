"""Certificate signing requests: those that nodes make, and those that nobody should make."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


def csr(
    key: CertificateIssuerPrivateKeyTypes,
    *,
    name: str = "whatever",
    algorithm: hashes.SHA256 | None = hashes.SHA256(),  # noqa: B008  # immutable
    extension: x509.ExtensionType | None = None,
) -> bytes:
    """Returns a request as PEM. `algorithm` is None for Ed25519."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def new_csr() -> bytes:
    """Returns a request for a new P-256 key, as the sidecar makes it."""
    return csr(ec.generate_private_key(ec.SECP256R1()))
