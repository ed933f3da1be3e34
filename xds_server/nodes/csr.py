"""Checks certificate signing requests: may a node have a certificate for this key? Nothing else in them counts."""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from xds_server.errors import CsrError

PublicKey: TypeAlias = "ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey"

_MAX_BYTES = 16 * 1024
_ACCEPTED = "accepted: a key on P-256 or P-384, an Ed25519 key, or an RSA key of 2,048 to 8,192 bits"


def public_key_of(csr_pem: bytes) -> PublicKey:
    """Returns the key that the request asks a certificate for, and whose private part its sender has.

    Raises CsrError.
    """
    if len(csr_pem) > _MAX_BYTES:
        raise CsrError(f"csr_pem: {len(csr_pem):,} bytes; accepted: at most {_MAX_BYTES:,}")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
    except Exception:  # noqa: BLE001  # anybody can send this, and x509 has more errors than it lists
        raise CsrError(f"csr_pem: not a certificate signing request in PEM; {_ACCEPTED}") from None
    # Checked before its signature: verifying a signature with an enormous key would take long.
    accepted = _accepted(key)
    try:
        signed = request.is_signature_valid
    except Exception:  # noqa: BLE001  # as above
        signed = False
    if not signed:
        raise CsrError("csr_pem: its signature was not made by the key it asks a certificate for")
    return accepted


def _accepted(key: object) -> PublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 2_048 <= key.key_size <= 8_192:
        return key
    raise CsrError(f"csr_pem: this kind of key is not accepted; {_ACCEPTED}")
