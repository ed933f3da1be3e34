"""Which signing requests are accepted; any other input is only refused."""

from __future__ import annotations

import base64
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.xds_server.nodes.csrs import csr, new_csr
from xds_server.errors import CsrError
from xds_server.nodes.csr import PublicKey, public_key_of


def spki(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65_537, 2_048),
    ],
    ids=["P-256", "P-384", "RSA 2048"],
)
def test_usual_keys_are_accepted(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    assert spki(public_key_of(csr(key))) == spki(key.public_key())


def test_ed25519_is_accepted() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    assert spki(public_key_of(csr(key, algorithm=None))) == spki(key.public_key())


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65_537, 1_024),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2_048),
    ],
    ids=["RSA 1024", "P-521", "secp256k1", "DSA"],
)
def test_other_keys_are_refused(key: CertificateIssuerPrivateKeyTypes) -> None:
    with pytest.raises(CsrError, match="this kind of key is not accepted; accepted: a key on P-256"):
        public_key_of(csr(key))


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"hello",
        b"\x00\xff" * 100,
        b"-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\n%%%%\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.b64encode(b"\x30\x84\xff\xff\xff\xff" * 9) + b"\n"
        b"-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_request_is_refused(pem: bytes) -> None:
    with pytest.raises(CsrError, match="not a certificate signing request in PEM"):
        public_key_of(pem)


def test_a_large_request_is_refused_before_it_is_read() -> None:
    with pytest.raises(CsrError, match="accepted: at most 16,384"):
        public_key_of(new_csr() + b"\n" * 16_384)


def test_somebody_elses_key_is_refused() -> None:
    """The sender does not have the private part of the key, and signs with another one."""
    mine, theirs = (csr(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    own, stolen = (x509.load_pem_x509_csr(each) for each in (mine, theirs))
    body, signature = stolen.tbs_certrequest_bytes, own.signature
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    bits = b"\x03" + bytes([len(signature) + 1]) + b"\x00" + signature
    inner = body + algorithm + bits
    forged = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner if len(inner) > 255 else b""
    forged = forged or b"\x30\x81" + bytes([len(inner)]) + inner
    pem = (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(forged)
        + b"-----END CERTIFICATE REQUEST-----\n"
    )
    assert x509.load_pem_x509_csr(pem).public_key() == stolen.public_key()
    with pytest.raises(CsrError, match="its signature was not made by the key"):
        public_key_of(pem)


def test_a_changed_request_is_refused_or_asks_for_the_same_key() -> None:
    """The ten thousand mutations are the same in every run."""
    choose = random.Random(7)  # reproducible; not used for security
    pem = new_csr()
    der = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    key = spki(public_key_of(pem))
    refused = 0
    for _ in range(10_000):
        mutated = bytearray(der)
        for _ in range(choose.randint(1, 4)):
            match choose.randrange(3):
                case 0:
                    mutated[choose.randrange(len(mutated))] = choose.randrange(256)
                case 1:
                    del mutated[choose.randrange(len(mutated))]
                case _:
                    mutated.insert(choose.randrange(len(mutated)), choose.randrange(256))
        text = base64.encodebytes(bytes(mutated))
        try:
            found = public_key_of(
                b"-----BEGIN CERTIFICATE REQUEST-----\n" + text + b"-----END CERTIFICATE REQUEST-----\n"
            )
        except CsrError:
            refused += 1
        else:
            assert spki(found) == key
    assert refused > 9_000
