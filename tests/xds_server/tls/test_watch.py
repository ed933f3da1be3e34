"""Replaced files: the new certificate is used if it is valid; otherwise the old one stays, and the reason is
reported.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fakes.certificates import Identity
from tests.xds_server.tls.pems import CA, written
from xds_server.errors import TlsFilesError
from xds_server.tls.files import TlsFiles
from xds_server.tls.watch import CertificateWatch


def test_unusable_files_are_no_start(tmp_path: Path) -> None:
    identity = CA.issue("a.example")
    with pytest.raises(TlsFilesError):
        CertificateWatch(written(tmp_path, Identity(identity.certificate, "")))


def test_replaced_files_are_taken_once(tmp_path: Path) -> None:
    watch = CertificateWatch(written(tmp_path, CA.issue("old.example", days=30)))
    assert watch.look() is None
    fresh = CA.issue("new.example", days=40)
    written(tmp_path, fresh)
    renewed = watch.look()
    assert renewed is not None
    assert renewed == watch.tls
    assert renewed.certificate_chain_pem == fresh.certificate
    assert (watch.names, watch.problem) == (("new.example",), "")
    assert watch.look() is None


def test_between_the_two_files_of_a_pair_the_old_one_stays(tmp_path: Path) -> None:
    watch = CertificateWatch(written(tmp_path, CA.issue("old.example", days=30)))
    fresh = CA.issue("new.example", days=40)
    (tmp_path / "tls.crt").write_text(fresh.certificate)
    assert watch.look() is None
    assert watch.names == ("old.example",)
    assert "is not the key of the first certificate" in watch.problem
    (tmp_path / "tls.key").write_text(fresh.key)
    assert watch.look() is not None
    assert watch.problem == ""


def test_a_symlink_replaced_in_one_step_is_taken(tmp_path: Path) -> None:
    """Kubernetes does this: the mounted names are links through `..data`, a link that is replaced by a rename."""
    written(tmp_path / "..1", CA.issue("old.example", days=30))
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    watch = CertificateWatch(TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key"))
    written(tmp_path / "..2", CA.issue("new.example", days=40))
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert watch.look() is not None
    assert watch.names == ("new.example",)


def test_files_that_are_gone_for_a_while_change_nothing(tmp_path: Path) -> None:
    files = written(tmp_path, CA.issue("a.example", days=30))
    watch = CertificateWatch(files)
    files.certificate.rename(tmp_path / "away")
    assert watch.look() is None
    assert "cannot be read" in watch.problem
    (tmp_path / "away").rename(files.certificate)
    assert watch.look() is None
    assert watch.problem == ""


def test_an_expired_successor_is_refused_while_the_old_one_is_valid(tmp_path: Path) -> None:
    watch = CertificateWatch(written(tmp_path, CA.issue("a.example", days=30)))
    written(tmp_path, CA.issue("a.example", days=-1))
    assert watch.look() is None
    assert "the certificate expired on" in watch.problem
    assert watch.expires_at > time.time()


def test_an_end_that_is_near_is_a_problem_and_so_is_one_that_has_passed(tmp_path: Path) -> None:
    now = time.time()
    watch = CertificateWatch(written(tmp_path, CA.issue("a.example", days=10)), lambda: now)
    assert watch.problem == ""
    now += 5 * 86_400
    assert watch.problem.startswith("the certificate expires on")
    now += 6 * 86_400
    assert watch.problem.startswith("the certificate expired on")


def test_another_ca_of_clients_is_taken_too(tmp_path: Path) -> None:
    identity = CA.issue("a.example", days=30)
    watch = CertificateWatch(written(tmp_path, identity, client_ca=CA.pem))
    written(tmp_path, identity, client_ca=CA.pem + CA.pem)
    renewed = watch.look()
    assert renewed is not None
    assert renewed.client_ca_pem == CA.pem + CA.pem
