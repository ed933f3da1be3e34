"""`trunkline users`, `login` and `logout`, against a real control plane."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from tests.trunkline.verbs.control_plane import ControlPlane, control_plane
from tests.waiting import eventually
from trunkline.__main__ import main

PASSWORD = "correct horse battery"


@pytest.fixture
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for each test, because the admins of another one would be admins here."""
    with control_plane(tmp_path_factory.mktemp("users")) as running:
        yield running


def _api(plane: ControlPlane, call: Any, token: str = "") -> Any:
    with grpc.insecure_channel(f"unix:{plane.socket}") as channel:
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        done = getattr(admin_pb2_grpc.AdminStub(channel), type(call).__name__.removesuffix("Request"))
        return done.with_call(call, metadata=metadata, timeout=60)


def _session(call: Any) -> str:
    return str(dict(call.trailing_metadata())["x-trunkline-set-session"]).partition(" ")[0]


def _done(plane: ControlPlane, *arguments: str) -> str:
    result = plane.trunkline(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_people_come_and_go(plane: ControlPlane) -> None:
    _done(plane, "orgs", "add", "acme")
    link = _done(plane, "users", "setup-link").strip()
    assert link.startswith("http://127.0.0.1:8081/#setup=")
    setup = pb.RedeemSetupLinkRequest(token=link.partition("=")[2], email="alice@example.org", password=PASSWORD)
    _api(plane, setup)
    link = _done(plane, "users", "invite", "bob@example.org", "--org", "acme", "--role", "operator").strip()
    listed = plane.trunkline("users", "list")
    assert "invited: bob@example.org as operator of acme" in listed.stderr
    _api(plane, pb.AcceptInvitationRequest(token=link.partition("=")[2], password=PASSWORD))
    rows = json.loads(_done(plane, "users", "list", "--json"))
    assert [(each["email"], each["memberships"], each["admin"]) for each in rows] == [
        ("alice@example.org", [], True), ("bob@example.org", ["acme: operator"], False),
    ]  # fmt: skip
    assert _done(plane, "users", "role", "bob@example.org", "--org", "acme", "--role", "viewer") == (
        "~ member acme/bob@example.org: viewer\n"
    )
    assert _done(plane, "users", "role", "bob@example.org", "--admin") == "~ user bob@example.org: an admin\n"
    assert "bob@example.org" in plane.trunkline("users", "disable", "bob@example.org").output
    assert "#reset=" in _done(plane, "users", "reset", "bob@example.org")
    assert _done(plane, "users", "enable", "bob@example.org") == "~ user bob@example.org: enabled\n"
    missing = plane.trunkline("users", "remove", "bop@example.org")
    assert (missing.exit_code, "did you mean bob@example.org?" in missing.output) == (1, True)
    assert _done(plane, "users", "remove", "bob@example.org") == "- user bob@example.org, 0 keys revoked\n"
    refused = plane.trunkline("users", "remove", "alice@example.org")
    assert "is the only admin" in refused.output
    assert plane.trunkline("users", "role", "alice@example.org", "--org", "acme").exit_code == 1
    assert "user" in _done(plane, "audit", "--type", "user")


def test_login_by_a_link(plane: ControlPlane, tmp_path: Path) -> None:
    _done(plane, "orgs", "add", "labs")
    link = _done(plane, "users", "setup-link").strip()
    setup = pb.RedeemSetupLinkRequest(token=link.partition("=")[2], email="carol@example.org", password=PASSWORD)
    session = _session(_api(plane, setup)[1])
    environment = {
        "XDG_CONFIG_HOME": str(tmp_path), "TRUNKLINE_CONTROL": None, "TRUNKLINE_ADMIN_TOKEN": None,
    }  # fmt: skip
    missing = str(tmp_path / "missing")

    def approve() -> None:
        """Approves the code like Carol in the console, as soon as it exists."""

        def shown() -> Any:
            with plane.store() as store:
                return store.read(lambda view: view.rows("SELECT user_code FROM device_login"))

        _api(plane, pb.DecideDeviceLoginRequest(user_code=eventually(shown)[0][0], approve=True), session)

    approving = threading.Thread(target=approve)
    approving.start()
    address = f"unix:{plane.socket}"
    result = CliRunner().invoke(main, ("login", address), env=environment)
    approving.join()
    assert result.exit_code == 0, result.output
    assert "/#device=" in result.output
    assert "signed in as carol@example.org" in result.output
    stored = tmp_path / "trunkline" / "login.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    token = json.loads(stored.read_text())["token"]
    assert token not in result.output
    listed = CliRunner().invoke(main, ("orgs", "list", "--data-dir", missing), env=environment)
    assert (listed.exit_code, "labs" in listed.output) == (0, True), listed.output
    # The token is only sent to this gateway.
    elsewhere = {**environment, "TRUNKLINE_CONTROL": "127.0.0.1:1"}
    other = CliRunner().invoke(main, ("orgs", "list", "--data-dir", missing), env=elsewhere)
    assert "TRUNKLINE_ADMIN_TOKEN is not set" in other.output
    assert "signed out carol@example.org" in CliRunner().invoke(main, ("logout",), env=environment).output
    assert not stored.exists()
    with pytest.raises(grpc.RpcError, match="was revoked"):
        _api(plane, pb.GetMeRequest(), token)


def test_identity_providers(plane: ControlPlane, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-the-client")
    made = plane.trunkline(
        "sso", "set", "corp", "--issuer", "https://login.example.org", "--client-id", "trunkline",
        "--client-secret", f"file:{secret}", "--group", "staff=acme:member", "--group", "cn=ops=admin",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("+ identity provider corp\n")
    assert "a-secret-of-the-client" not in made.output
    assert plane.trunkline("sso", "set", "corp", "--sign-up-domain", "example.org").stdout.startswith("~ identity")
    (row,) = json.loads(_done(plane, "sso", "list", "--json"))
    assert (row["has_secret"], row["groups"]) == (True, ["staff=acme:member", "cn=ops=admin"])
    assert row["sign_up"] == ["example.org"]
    assert "~ accounts" in _done(plane, "sso", "console", "https://console.example.org", "--only")
    exported = _done(plane, "export")
    assert "client_secret of corp: stored; left out here, which keeps it" in exported
    assert "a-secret-of-the-client" not in exported
    # Applying the export changes nothing except the manager.
    file = tmp_path / "trunkline.yaml"
    file.write_text(exported)
    again = _done(plane, "apply", "-f", str(file), "--take-over", "--dry-run")
    changed = {each.split(":")[0].strip() for each in again.splitlines() if each.startswith(" ")}
    assert changed == {"accounts managed by", "oidc managed by"}
    wrong = plane.trunkline("sso", "set", "corp", "--issuer", "http://login.example.org")
    assert (wrong.exit_code, "plain http is not accepted" in wrong.output) == (1, True)
    assert plane.trunkline("sso", "set", "corp", "--group", "staff").exit_code == 1
    assert plane.trunkline("sso", "remove", "cor").exit_code == 1
    assert _done(plane, "sso", "remove", "corp") == "- identity provider corp\n"
