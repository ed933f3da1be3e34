"""Turns PEM files into a certificate that Envoy will accept, or into a sentence that names the file to fix.

Envoy refuses a bad certificate only when it is asked to use it. Everything that Envoy would refuse is refused here
first, so that the certificate in use stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from xds_server.errors import TlsFilesError
from xds_server.resources.settings import ListenerTls

_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
#: A larger file is not a certificate: a mistaken path must not be read for ever.
_MAX_BYTES = 1024 * 1024
_MIN_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: the chain with the leaf first, its key, and the CAs of clients' certificates if any."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> Contents:
        """Returns the files' current bytes. Raises TlsFilesError for a file that cannot be read."""
        return Contents(
            _bytes_of(self.certificate, "--tls-cert"),
            _bytes_of(self.key, "--tls-key"),
            b"" if self.client_ca is None else _bytes_of(self.client_ca, "--tls-client-ca"),
        )

    def check(self, contents: Contents) -> Certificate:
        """Returns the certificate in `contents`. Raises TlsFilesError if Envoy could not use it; the error names
        the flag and the file.
        """
        chain = _certificates(contents.certificate, f"--tls-cert {self.certificate}")
        _check_key(chain[0], contents.key, self)
        client_ca = ""
        if self.client_ca is not None:
            where = f"--tls-client-ca {self.client_ca}"
            client_ca = "".join(map(_pem, _certificates(contents.client_ca, where)))
        return Certificate(
            ListenerTls("".join(map(_pem, chain)), contents.key.decode("ascii"), client_ca),
            _names(chain[0]),
            int(chain[0].not_valid_before_utc.timestamp()),
            int(min(each.not_valid_after_utc for each in chain).timestamp()),
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """The files' bytes, unchecked."""

    certificate: bytes
    key: bytes
    client_ca: bytes

    def __repr__(self) -> str:
        return f"Contents({len(self.certificate)} bytes, …)"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A usable certificate. `names` are those of its leaf.

    Times are Unix seconds; `expires_at` is when the first certificate of the chain expires.
    """

    tls: ListenerTls
    names: tuple[str, ...]
    begins_at: int
    expires_at: int


def _bytes_of(path: Path, flag: str) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise TlsFilesError(f"{flag} {path} cannot be read: {error.strerror}") from error
    if len(found) > _MAX_BYTES:
        raise TlsFilesError(f"{flag} {path} is larger than 1 MiB: not a PEM file")
    return found


def _certificates(pem: bytes, where: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise TlsFilesError(f"{where} contains no complete PEM certificate") from error
    # The parser skips a block whose end is missing.
    if len(found) != pem.count(_BEGIN_CERTIFICATE):
        raise TlsFilesError(f"{where} ends within a certificate: it was not written completely")
    return found


def _check_key(leaf: x509.Certificate, pem: bytes, files: TlsFiles) -> None:
    where = f"--tls-key {files.key}"
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise TlsFilesError(f"{where} is encrypted: give a key without a passphrase, mode 0600") from error
    except ValueError as error:
        raise TlsFilesError(f"{where} contains no complete PEM private key") from error
    if _public(leaf) != key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise TlsFilesError(f"{where} is not the key of the first certificate in {files.certificate}")
    if not _accepted(key):
        raise TlsFilesError(
            f"{where} is of a kind that Envoy does not accept: use ECDSA (P-256, P-384, P-521) or RSA of "
            f"{_MIN_RSA_BITS} bits or more"
        )


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _accepted(key: PrivateKeyTypes) -> bool:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.key_size >= _MIN_RSA_BITS
    return isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Returns the DNS names and addresses that clients may verify; the subject if there are none."""
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (leaf.subject.rfc4514_string(),)
    addresses = alternatives.get_values_for_type(x509.IPAddress)
    return (*alternatives.get_values_for_type(x509.DNSName), *map(str, addresses))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
