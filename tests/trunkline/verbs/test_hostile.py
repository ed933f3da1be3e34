"""Terminals are safe whatever the control plane answers, including words of nodes, clients and providers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import FakeAdmin
from tests.trunkline.hostile import HOSTILE, assert_harmless, filled

LISTINGS = [
    ("providers", "list"),
    ("routes", "list"),
    ("orgs", "list"),
    ("keys", "list", "--revoked"),
    ("limits", "list"),
    ("nodes", "list"),
    ("nodes", "describe", f"id{HOSTILE}"),
    ("nodes", "contributions"),
    ("usage", "top"),
    ("usage", "refused"),
    ("usage", "compare", "--model", "gpt-4.1"),
    ("requests", "list"),
    ("requests", "list", "--finished", "--limit", "2"),
    ("requests", "show", f"id{HOSTILE}"),
    ("audit", "list"),
    ("status",),
]
OTHERS = [
    ("export",),
    ("routes", "show", f"model{HOSTILE}", "--org", f"organisation{HOSTILE}"),
    ("providers", "remove", f"name{HOSTILE}"),
    ("orgs", "add", f"name{HOSTILE}"),
    ("keys", "create", "--org", f"acme{HOSTILE}", "--name", f"ci{HOSTILE}"),
    ("keys", "revoke", f"id{HOSTILE}"),
    ("nodes", "invite", "--org", f"acme{HOSTILE}"),
    ("nodes", "drain", f"id{HOSTILE}"),
    ("nodes", "remove", f"id{HOSTILE}"),
    ("requests", "cancel", f"id{HOSTILE}"),
    ("audit", "verify"),
    ("audit", "export"),
    ("usage", "report", "--by", "model", "--output", "json"),
]


@pytest.fixture(autouse=True)
def _answers(control: FakeAdmin) -> None:
    for rpc in admin.DESCRIPTOR.services_by_name["Admin"].methods:
        control.answers[getattr(admin, rpc.input_type.name)] = filled(getattr(admin, rpc.output_type.name))


def asked(trunkline: Trunkline, *verb: str) -> str:
    done = trunkline(*verb)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    assert_harmless(done.stdout)
    assert_harmless(done.stderr)
    assert "\n+ forged" not in done.output
    return done.stdout


def texts(value: Any) -> Iterator[str]:
    """Yields every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


@pytest.mark.parametrize("verb", LISTINGS, ids=lambda verb: " ".join(verb[:2]))
def test_listings(trunkline: Trunkline, verb: tuple[str, ...]) -> None:
    assert r"\x1b" in asked(trunkline, *verb)
    found = json.loads(asked(trunkline, *verb, "--output", "json"))
    assert any(text.endswith(HOSTILE) for text in texts(found))


@pytest.mark.parametrize("verb", OTHERS, ids=lambda verb: " ".join(verb[:2]))
def test_what_others_print(trunkline: Trunkline, verb: tuple[str, ...]) -> None:
    asked(trunkline, *verb)


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "ABORTED", "INTERNAL"])
def test_errors(control: FakeAdmin, trunkline: Trunkline, code: str) -> None:
    control.refusal = grpc.StatusCode[code], f"no such thing: {HOSTILE}"
    done = trunkline("nodes", "list")
    assert done.exit_code == 1
    assert r"no such thing: \x1b]0;owned\x07" in done.output
    assert_harmless(done.output)
