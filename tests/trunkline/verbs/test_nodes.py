"""`trunkline nodes` against a real control plane, with its CA and its database."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.trunkline.verbs.control_plane import ControlPlane, control_plane
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, usage
from tests.xds_server.store.writing.joining import enrol
from xds_server.model import Node
from xds_server.nodes.authority import Authority

URL = "https://gateway.example.org:8443"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    flags = ("--tunnel-listen", "0.0.0.0:8443", "--tunnel-url", URL)
    with control_plane(tmp_path_factory.mktemp("cp"), *flags) as running:
        for each in ("acme", "other"):
            assert running.trunkline("orgs", "add", each).exit_code == 0
        assert running.trunkline("keys", "create", "--org", "acme", "--name", "jane").exit_code == 0
        yield running


def out(plane: ControlPlane, *arguments: str) -> str:
    result = plane.trunkline("nodes", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def invite(plane: ControlPlane, *arguments: str) -> dict[str, str]:
    return json.loads(out(plane, "invite", *arguments, "--output", "json"))  # type: ignore[no-any-return]


def join(plane: ControlPlane, name: str, *arguments: str) -> Node:
    token = invite(plane, "--org", "acme", *arguments)["token"]
    with plane.store() as store:
        return enrol(store, token, name)


def test_an_invitation_prints_one_command_for_each_system(plane: ControlPlane) -> None:
    result = plane.trunkline("nodes", "invite", "--org", "acme")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "make wheel" in lines[0]
    assert "docker build" in lines[0]
    assert lines[1::2] == [
        "Linux, macOS:",
        "Linux, macOS, as a service that starts with the machine (deploy/node/install.sh):",
        "Windows (PowerShell):",
        "Docker:",
    ]
    pip, installer, windows, docker = (line.strip() for line in lines[2::2])
    token = shlex.split(pip)[-1]
    assert token.startswith("tlj_")
    wheel = "$(ls ./trunkline-*.whl)[node]"
    assert shlex.split(pip) == [*("pip", "install", wheel, "&&", "trunkline-node", "join", URL, "--token", token)]
    assert installer == f'sh install.sh --package "{wheel}" --url {URL} --token {token}'
    assert windows == (
        'py -m pip install "$((Get-Item ./trunkline-*.whl).FullName)[node]"; '
        f"if ($?) {{ trunkline-node join {URL} --token {token} }}"
    )
    assert docker.startswith("docker run -d ")
    assert docker.endswith(f" trunkline-node join {URL} --token {token} --if-needed")
    # Only stdout has the token.
    assert token not in result.stderr
    assert token.split("_")[2] not in result.stderr
    assert "+ join token of acme, for one machine until 20" in result.stderr


def test_the_token_pins_the_databases_ca_and_admits_once(plane: ControlPlane) -> None:
    found = invite(plane, "--org", "acme", "--name", "pinned", "--ttl", "5m")
    assert set(found) == {"token", "url", "commands", "expires_at"}
    assert found["url"] == URL
    with plane.store() as store:
        assert found["token"].endswith(f"_{Authority.open(store).fingerprint}")
        enrol(store, found["token"])
    assert "pinned" in out(plane, "list")
    again = plane.trunkline("nodes", "invite", "--org", "acme", "--name", "pinned")
    assert again.exit_code == 1
    assert 'node "acme/pinned" exists' in again.output


def test_invitations_in_other_forms(plane: ControlPlane) -> None:
    rows = list(csv.DictReader(io.StringIO(out(plane, "invite", "--org", "acme", "--output", "csv"))))
    assert [row["for"] for row in rows] == ["linux_macos", "installer", "windows", "docker"]
    elsewhere = plane.trunkline(
        "nodes", "invite", "--org", "acme", "--url", "https://[::1]:9/", "--image", "registry.example/node:1"
    )
    assert "join 'https://[::1]:9' --token" in elsewhere.stdout
    assert " registry.example/node:1 join " in elsewhere.stdout
    assert "warning: https://[::1]:9 is this machine alone" in elsewhere.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--org", "nobody"), 'no organisation "nobody"; known: acme, other'),
        (("--org", "acme", "--owner-key", "bob"), 'no key "acme/bob"'),
        (("--org", "acme", "--ttl", "31d"), "ttl_seconds: 2678400 is out of range"),
        (("--org", "acme", "--url", "http://x"), "--url: expected https://HOST:PORT"),
        (("--org", "acme", "--url", "https://x:1; rm -rf /"), "--url: expected https://HOST:PORT"),
        (("--org", "acme", "--name", "A B"), 'name: "A B" is not a name'),
        (("--org", "acme", "--visibility", "secret"), "'secret' is not one of"),
    ],
)
def test_what_no_invitation_says(plane: ControlPlane, arguments: tuple[str, ...], said: str) -> None:
    result = plane.trunkline("nodes", "invite", *arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert "tlj_" not in result.output


def test_a_nodes_life(plane: ControlPlane) -> None:
    node = join(plane, "life", "--owner-key", "jane", "--visibility", "private", "--require-approval")
    (row,) = [each for each in json.loads(out(plane, "list", "--output", "json")) if each["id"] == node.id]
    assert row == {
        "name": "life", "organisation": "acme", "owner_key": "jane", "visibility": "private", "state": "pending",
        "reason": "waits for approval", "models": [], "in_flight": 0, "boost": 100, "last_seen": None,
        "id": node.id,
    }  # fmt: skip
    for arguments, printed in (
        (("approve", "life"), "approved"),
        (("drain", "acme/life"), "drained"),
        (("resume", node.id), "not drained"),
        (("update", "life", "--boost", "250", "--visibility", "community"), "updated"),
    ):
        assert out(plane, *arguments) == f"~ node acme/life ({node.id}): {printed}\n"
        with plane.store() as store:
            stored = store.load().nodes[node.id]
        assert stored.drained == (printed == "drained")
    assert (stored.approved, stored.boost, stored.visibility) == (True, 250, "community")
    details = json.loads(out(plane, "describe", "life", "--output", "json"))
    assert (details["state"], details["approved"], details["boost"], details["offers"]) == (
        "offline",
        True,
        250,
        [],
    )
    table = out(plane, "describe", node.id)
    assert [line.split() for line in table.splitlines() if line.startswith("visibility")] == [
        ["visibility", "community"]
    ]
    assert out(plane, "remove", "life") == "- node life\n"
    for verb in ("describe", "drain", "remove"):
        gone = plane.trunkline("nodes", verb, "life")
        assert gone.exit_code == 1
        assert "`trunkline nodes list`" in gone.output


def test_listings_by_organisation(plane: ControlPlane) -> None:
    join(plane, "listed")
    rows = list(csv.DictReader(io.StringIO(out(plane, "list", "--org", "acme", "--output", "csv"))))
    assert "listed" in [row["name"] for row in rows]
    assert out(plane, "list", "--org", "other") == "(none)\n"
    nobody = plane.trunkline("nodes", "list", "--org", "nobody")
    assert (nobody.exit_code, 'no organisation "nobody"' in nobody.output) == (1, True)


def test_status_names_every_node(plane: ControlPlane) -> None:
    join(plane, "waiting", "--require-approval")
    table = plane.trunkline("status").stdout
    (line,) = [each for each in table.splitlines() if each.startswith("acme/waiting ")]
    assert line.split() == ["acme/waiting", "pending", "waits", "for", "approval"]
    found = json.loads(plane.trunkline("status", "--output", "json").stdout)
    assert {"node": "acme/waiting", "state": "pending", "reason": "waits for approval", "last_seen": None} in (
        found["nodes"]
    )


def test_contributions(plane: ControlPlane) -> None:
    node = join(plane, "earner", "--owner-key", "jane")
    fields: dict[str, Any] = {"node_id": node.id, "target_id": "nodes/llama3", "earned_nano_usd": 1_500_000_400}
    plane.append([usage(**fields), usage(at=MONDAY_10 + 24 * HOUR, **fields)])
    with plane.store() as store:
        engine = store._writer()
        with engine.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO node_uptime VALUES ({MONDAY_10 // HOUR}, '{node.id}', 3599)")
    times = ("--since", "2026-11-02", "--until", "2026-11-04")
    lines = [line.split() for line in out(plane, "contributions", *times).splitlines()]
    assert lines == [
        ["node", "requests", "errors", "prompt", "completion", "earned", "usd", "uptime", "node", "id"],
        ["earner", "2", "0", "200", "100", "3.000000800", "59", "m", "59", "s", node.id],
    ]
    rows = json.loads(out(plane, "contributions", "--by", "day,owner,model", *times, "--output", "json"))
    assert [(row["day"], row["owner"], row["model"], row["earned_usd"], row["uptime"]) for row in rows] == [
        ("2026-11-02", "acme/jane", "llama3", "1.500000400", 0),
        ("2026-11-03", "acme/jane", "llama3", "1.500000400", 0),
    ]
    found = list(csv.DictReader(io.StringIO(out(plane, "contributions", "--by", "owner", *times, "-o", "csv"))))
    assert [(row["owner"], row["uptime"]) for row in found] == [("acme/jane", "3599")]
    assert out(plane, "contributions", "--org", "other", *times) == "(none)\n"
    wrong = plane.trunkline("nodes", "contributions", "--by", "colour")
    assert "'colour' is not one of node, owner, model, day" in wrong.output


def test_an_update_says_what_it_needs(plane: ControlPlane) -> None:
    result = plane.trunkline("nodes", "update", "any")
    assert (result.exit_code, "say what to change" in result.output) == (1, True)


def test_applying_a_file_leaves_nodes_alone(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> None:
    node = join(plane, "kept")
    file = tmp_path_factory.mktemp("apply") / "trunkline.yaml"
    file.write_text(plane.trunkline("export").stdout)
    assert "kept" not in file.read_text()
    assert "no changes" in plane.trunkline("apply", "-f", str(file)).output
    file.write_text("version: 1\norganisations: []\n")
    assert plane.trunkline("apply", "-f", str(file), "--prune").output == "no changes\n"
    file.write_text("version: 1\norganisations: [{name: acme}]\n")
    assert plane.trunkline("apply", "-f", str(file), "--take-over").exit_code == 0
    file.write_text("version: 1\norganisations: []\n")
    kept = plane.trunkline("apply", "-f", str(file), "--prune")
    assert kept.exit_code == 2
    assert "! organisation acme: not removed: it has nodes (" in kept.output
    with plane.store() as store:
        assert node.id in store.load().nodes
