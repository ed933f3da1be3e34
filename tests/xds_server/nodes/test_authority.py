"""The CA: one per database, with certificates that real TLS peers accept."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.xds_server.nodes.csrs import csr, new_csr
from tests.xds_server.store.databases import OpenStore, new_sqlite
from xds_server.errors import CsrError, SecretKeyError
from xds_server.nodes import authority as module
from xds_server.nodes.authority import GATEWAY_NAME, Authority
from xds_server.resources.settings import GatewayTls
from xds_server.store import Store
from xds_server.store.tables import SettingRow
from xds_server.store.writing.transaction import Transaction

NODE = "nd-abcdefghijklmnop"
NOW = 1_800_000_000.0
DAY = 86_400.0


def names(certificate: x509.Certificate) -> list[str]:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )


def context(
    side: ssl._SSLMethod, tls: GatewayTls | None, chain: bytes, key: bytes, ca: bytes, directory: Path
) -> ssl.SSLContext:
    made = ssl.SSLContext(side)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=ca.decode())
    file = directory / "identity.pem"
    file.write_bytes((tls.key_pem + tls.certificate_chain_pem).encode() if tls else key + chain)
    made.load_cert_chain(file)
    file.unlink()
    return made


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Completes a handshake in memory. Returns the server's side."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(up, down, server_side=True)
    here = client.wrap_bio(down, up, server_hostname=name)
    waiting = [here, there]
    while waiting:
        for each in list(waiting):
            try:
                each.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(each)
    return there


def test_gateway_and_node_believe_each_other(store: Store, tmp_path: Path) -> None:
    authority = Authority.open(store)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = authority.issue(NODE, csr(key))
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ca, tls = authority.ca_pem, authority.gateway_tls()

    server = context(ssl.PROTOCOL_TLS_SERVER, tls, b"", b"", ca, tmp_path)
    client = context(ssl.PROTOCOL_TLS_CLIENT, None, chain, key_pem, ca, tmp_path)
    peer = handshake(server, client, GATEWAY_NAME).getpeercert()
    assert peer is not None
    assert peer["subjectAltName"] == (("DNS", NODE),)
    # A direct node is the server, and its certificate names its id.
    direct = context(ssl.PROTOCOL_TLS_SERVER, None, chain, key_pem, ca, tmp_path)
    gateway = context(ssl.PROTOCOL_TLS_CLIENT, tls, b"", b"", ca, tmp_path)
    peer = handshake(direct, gateway, NODE).getpeercert()
    assert peer is not None
    assert peer["subjectAltName"] == (("DNS", GATEWAY_NAME),)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(direct, gateway, GATEWAY_NAME)


def test_another_databases_ca_is_not_believed(store: Store, tmp_path: Path) -> None:
    authority = Authority.open(store)
    other = Store.open(new_sqlite(tmp_path / "other.db"), key_file=tmp_path / "other.key")
    tls, foreign = authority.gateway_tls(), Authority.open(other)
    other.close()
    server = context(ssl.PROTOCOL_TLS_SERVER, tls, b"", b"", authority.ca_pem, tmp_path)
    client = context(ssl.PROTOCOL_TLS_CLIENT, foreign.gateway_tls(), b"", b"", foreign.ca_pem, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, GATEWAY_NAME)


def test_a_node_certificate_says_what_the_gateway_decided(store: Store) -> None:
    authority = Authority.open(store, clock=lambda: NOW)
    key = ec.generate_private_key(ec.SECP256R1())
    wished = csr(
        key,
        name=GATEWAY_NAME,
        extension=x509.SubjectAlternativeName([x509.DNSName(GATEWAY_NAME), x509.DNSName("nd-other")]),
    )
    certificate = x509.load_pem_x509_certificate(authority.issue(NODE, wished))

    assert names(certificate) == [NODE]
    assert certificate.subject.rfc4514_string() == f"CN={NODE}"
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc.timestamp() == NOW - 300
    assert certificate.not_valid_after_utc.timestamp() == NOW + DAY
    of = certificate.extensions.get_extension_for_class
    assert of(x509.BasicConstraints).value == x509.BasicConstraints(ca=False, path_length=None)
    assert set(of(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    }
    assert not of(x509.KeyUsage).value.key_cert_sign


def test_a_request_to_be_a_ca_makes_none(store: Store) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    wished = csr(key, extension=x509.BasicConstraints(ca=True, path_length=None))
    issued = x509.load_pem_x509_certificate(Authority.open(store).issue(NODE, wished))
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("name", [GATEWAY_NAME, "", "nd-", "*.nodes", "nd-a.b", "ND-A"])
def test_only_ids_of_nodes_are_names(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="not a node's id"):
        Authority.open(store).issue(name, new_csr())


def test_a_bad_request_gets_nothing(store: Store) -> None:
    with pytest.raises(CsrError):
        Authority.open(store).issue(NODE, b"hello")


def test_the_ca_is_kept_and_pinned_by_its_fingerprint(open_store: OpenStore) -> None:
    first, second = Authority.open(open_store()), Authority.open(open_store())
    assert first.ca_pem == second.ca_pem
    certificate = x509.load_pem_x509_certificate(first.ca_pem)
    assert (
        first.fingerprint
        == second.fingerprint
        == hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    )
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc > timedelta(days=3_650)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    # Each start has its own gateway certificate, and never shows its key.
    assert first.gateway_tls() != second.gateway_tls()
    assert "PRIVATE" not in repr(first.gateway_tls())


def test_replicas_that_start_at_once_agree(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    found: list[str] = []
    barrier = threading.Barrier(len(stores))

    def start(store: Store) -> None:
        barrier.wait(60)
        found.append(Authority.open(store).fingerprint)

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert len(found) == len(stores)
    assert len(set(found)) == 1


def test_the_cas_key_is_sealed(store: Store) -> None:
    Authority.open(store)
    with store._reader.snapshot() as snapshot:
        ((value,),) = snapshot.rows("SELECT value FROM setting WHERE name = 'nodes_ca'")
        rest = snapshot.rows("SELECT name, value FROM setting WHERE name <> 'nodes_ca'")
    assert "PRIVATE" not in value
    assert "PRIVATE" not in str(rest)
    # The sealed key opens only in its own place.
    store.secret("other", lambda: b"x")

    def move(transaction: Transaction) -> None:
        transaction.session.get_one(SettingRow, "other").value = value

    store.write("admin", move)
    with pytest.raises(SecretKeyError, match="setting other"):
        store.secret("other", lambda: b"x")


async def test_the_gateway_certificate_is_renewed_at_half_life(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOW]
    monkeypatch.setattr(module, "_INTERVAL", 0.001)
    authority = await asyncio.to_thread(Authority.open, store, clock=lambda: now[0])
    first = authority.gateway_tls()
    certificate = x509.load_pem_x509_certificate(first.certificate_chain_pem.encode())
    assert names(certificate) == [GATEWAY_NAME]
    assert certificate.not_valid_after_utc.timestamp() == NOW + 365 * DAY
    renewed: asyncio.Queue[GatewayTls] = asyncio.Queue()
    task = asyncio.create_task(authority.run(renewed.put_nowait))
    now[0] = NOW + 182 * DAY
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(renewed.get(), 0.05)  # it is not renewed yet
    now[0] = NOW + 183 * DAY
    second = await asyncio.wait_for(renewed.get(), 60)
    assert second == authority.gateway_tls() != first
    assert x509.load_pem_x509_certificate(
        second.certificate_chain_pem.encode()
    ).not_valid_after_utc.timestamp() == (now[0] + 365 * DAY)
    task.cancel()
