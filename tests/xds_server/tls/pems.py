"""Certificate files as operators provide them."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.certificates import CertificateAuthority, Identity
from xds_server.tls.files import TlsFiles

CA = CertificateAuthority()


def written(directory: Path, identity: Identity, *, client_ca: str = "") -> TlsFiles:
    """Writes the pair to `tls.crt` and `tls.key`, and the CA next to it if one is given."""
    directory.mkdir(exist_ok=True)
    (directory / "tls.crt").write_text(identity.certificate)
    (directory / "tls.key").write_text(identity.key)
    if client_ca:
        (directory / "ca.crt").write_text(client_ca)
    return TlsFiles(directory / "tls.crt", directory / "tls.key", directory / "ca.crt" if client_ca else None)
