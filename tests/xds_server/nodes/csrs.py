"""Certificate signing requests as nodes make them, and as nobody should."""

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
    """PEM. `algorithm` is None for Ed25519."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def new_csr() -> bytes:
    """Of a new key on P-256, as the sidecar makes it."""
    return csr(ec.generate_private_key(ec.SECP256R1()))
