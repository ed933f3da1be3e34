"""The environment that each child of `trunkline up` inherits."""

from __future__ import annotations

import pytest

from trunkline import child_environment
from trunkline.environment import KNOWN_PROVIDERS

SECRETS = {each.key_variable: f"secret of {each.name}" for each in KNOWN_PROVIDERS if each.key_variable} | {
    "ACME_CI_KEY": "secret that trunkline.yaml names",
    "AWS_SECRET_ACCESS_KEY": "secret of a cloud",
    "TRUNKLINE_ADMIN_TOKEN": "secret of the operator",
    "TRUNKLINE_JOIN_TOKEN": "secret of a node",
    "TRUNKLINE_SECRET_KEY": "secret of the store",
    "TRUNKLINE_DATABASE_URL": "postgresql://u:secret@h/d",
    "PGPASSWORD": "secret of the database",
    "https_proxy": "http://u:secret@proxy",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
    "SSH_AUTH_SOCK": "secret enough",
    "LC": "secret",
    "path": "secret",
}
ORDINARY = {
    "PATH": "/bin", "HOME": "/root", "LANG": "C.UTF-8", "LC_ALL": "de_DE.UTF-8", "TZ": "Europe/Berlin",
    "SSL_CERT_FILE": "/ca.pem", "SSL_CERT_DIR": "/ca", "TMPDIR": "/tmp", "PYTHONPATH": "/here",
}  # fmt: skip
EVERYTHING = SECRETS | ORDINARY


def secrets_in(environment: dict[str, str]) -> set[str]:
    assert ORDINARY.items() <= environment.items()
    return environment.keys() - ORDINARY.keys()


def test_envoy_and_the_translator_inherit_no_secret() -> None:
    assert child_environment.of_edge(EVERYTHING) == ORDINARY


def test_the_control_plane_inherits_what_opens_the_store_alone() -> None:
    inherited = EVERYTHING | {"TRUNKLINE_TUNNEL_URL": "https://g:1"}
    found = child_environment.of_control_plane(inherited, "sqlite:////t.db")
    assert secrets_in(found) == {"TRUNKLINE_SECRET_KEY", "TRUNKLINE_DATABASE_URL", "TRUNKLINE_TUNNEL_URL"}
    assert found["TRUNKLINE_DATABASE_URL"] == "sqlite:////t.db"
    more = child_environment.of_control_plane(inherited, "postgresql://h/d")
    assert more.keys() - found.keys() == {"PGPASSWORD"}


def test_discovery_inherits_what_it_asks_with() -> None:
    found = child_environment.of_discovery(EVERYTHING | {"OPENAI_BASE_URL": "https://o", "NO_PROXY": "a"})
    keys = {each.key_variable for each in KNOWN_PROVIDERS if each.key_variable}
    assert secrets_in(found) == keys | {"OPENAI_BASE_URL", "NO_PROXY", "https_proxy"}


@pytest.mark.parametrize("name", ["TRUNKLINE_SECRET_KEY", "TRUNKLINE_DATABASE_URL"])
def test_apply_inherits_what_the_file_may_name_but_not_what_opens_the_store(name: str) -> None:
    found = child_environment.of_apply(EVERYTHING)
    assert found["ACME_CI_KEY"]
    assert name not in found
