"""Which files are accepted as a certificate, and the errors for all others."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.fakes.certificates import CertificateAuthority, Identity
from tests.xds_server.tls.pems import CA, written
from xds_server.errors import TlsFilesError
from xds_server.tls.files import TlsFiles


def check(files: TlsFiles) -> None:
    files.check(files.read())


def test_a_chain_and_its_key_are_taken(tmp_path: Path) -> None:
    identity = CA.issue("gateway.example", "other.example", days=10)
    files = written(tmp_path, Identity(identity.certificate + CA.pem, identity.key), client_ca=CA.pem)
    found = files.check(files.read())
    assert found.names == ("gateway.example", "other.example")
    assert found.tls.certificate_chain_pem == identity.certificate + CA.pem
    assert found.tls.client_ca_pem == CA.pem
    assert identity.key not in repr(found)
    assert identity.key not in repr(files.read())


def test_the_first_of_the_chain_to_end_is_what_counts(tmp_path: Path) -> None:
    identity = CA.issue("gateway.example", days=10)
    alone = written(tmp_path / "leaf", identity)
    chain = written(tmp_path / "chain", Identity(identity.certificate + CA.pem, identity.key))  # the CA: one day
    assert alone.check(alone.read()).expires_at - chain.check(chain.read()).expires_at == pytest.approx(
        9 * 86_400, abs=5
    )


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        (lambda pem: "", "contains no complete PEM certificate"),
        (lambda pem: pem[: len(pem) // 2], "contains no complete PEM certificate"),
        (lambda pem: pem + CA.pem[: len(CA.pem) // 2], "was not written completely"),
        (lambda pem: pem.replace("A", "!"), "contains no complete PEM certificate"),
    ],
    ids=["empty", "half", "half of a chain", "damaged"],
)
def test_a_half_written_certificate_is_refused(tmp_path: Path, certificate, said: str) -> None:  # type: ignore[no-untyped-def]
    identity = CA.issue("gateway.example")
    files = written(tmp_path, Identity(certificate(identity.certificate), identity.key))
    with pytest.raises(TlsFilesError, match=said) as refused:
        check(files)
    assert "--tls-cert" in str(refused.value)


def test_a_key_that_does_not_match_is_refused(tmp_path: Path) -> None:
    files = written(tmp_path, Identity(CA.issue("a.example").certificate, CA.issue("b.example").key))
    with pytest.raises(TlsFilesError, match=r"--tls-key .* is not the key of the first certificate"):
        check(files)


def test_half_a_key_and_an_encrypted_one_are_refused(tmp_path: Path) -> None:
    identity = CA.issue("a.example")
    files = written(tmp_path, Identity(identity.certificate, identity.key[:80]))
    with pytest.raises(TlsFilesError, match="no complete PEM private key"):
        check(files)
    key = load_pem_private_key(identity.key.encode(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files = written(tmp_path, Identity(identity.certificate, sealed.decode()))
    with pytest.raises(TlsFilesError, match="encrypted"):
        check(files)


def test_a_key_that_envoy_does_not_take_is_refused_here(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    files = written(tmp_path, Identity(CertificateAuthority.self_signed(key), text))
    with pytest.raises(TlsFilesError, match=r"ECDSA \(P-256"):
        check(files)


def test_a_file_that_is_missing_or_huge_is_named(tmp_path: Path) -> None:
    files = written(tmp_path, CA.issue("a.example"))
    files.key.unlink()
    with pytest.raises(TlsFilesError, match=r"--tls-key .*tls.key cannot be read: No such file"):
        check(files)
    with pytest.raises(TlsFilesError, match="larger than 1 MiB"):
        check(TlsFiles(Path("/dev/zero"), files.key))
