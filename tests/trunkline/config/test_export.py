from __future__ import annotations

from pathlib import Path

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.trunkline.config.test_loader import FULL
from trunkline.config import loader
from trunkline.config.document import request
from trunkline.config.export import text
from trunkline.config.secrets import Secrets


def test_what_is_exported_is_what_was_applied(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("sk-2")
    secrets = Secrets({"OPENAI_API_KEY": "sk-1", "ACME_CI_KEY": "sk-ci-0123456789"}, tmp_path)
    applied = request(loader.parse(FULL, "f", secrets)).document
    # The control plane returns the document without secrets.
    for provider in applied.providers:
        provider.credential_count = len(provider.credentials)
        provider.ClearField("credentials")
        provider.ClearField("clear_credentials")
    for organisation in applied.organisations:
        for key in organisation.keys:
            key.value = ""

    exported = text(applied)
    again = request(loader.parse(exported, "f", Secrets({}, tmp_path))).document

    for provider in applied.providers:
        provider.credential_count = 0
    assert again == applied
    assert "# credentials: 2 stored" in exported
    assert "sk-" not in exported
    assert "output: 0.150001" in exported
    assert "idle: 2m" in exported
    assert "valid_from: 2026-12-01 00:00:00+00:00" in exported
    assert "per: month\n      time_zone: Europe/Berlin\n      amount: 500\n" in exported


def test_a_target_that_is_to_be_free_says_from_when(tmp_path: Path) -> None:
    price = policy.Price(valid_from=1_796_083_200)
    applied = admin.Document(routes=[admin.Route(model="m", targets=[admin.RouteTarget(nodes="n", price=price)])])
    again = request(loader.parse(text(applied), "f", Secrets({}, tmp_path))).document
    assert again.routes[0].targets[0].price == price


def test_an_empty_state_is_a_file_too() -> None:
    assert text(admin.Document()) == "version: 1\nproviders: []\nroutes: []\norganisations: []\n"


def test_who_manages_what_is_said_beside_it(tmp_path: Path) -> None:
    route = admin.Route(model="m", targets=[admin.RouteTarget(nodes="n")], managed_by="file:edge")
    key = admin.KeyDocument(key=admin.Key(name="ci", managed_by="api"))
    owner = admin.OrganisationDocument(organisation=admin.Organisation(name="acme"), keys=[key])
    exported = text(admin.Document(routes=[route], organisations=[owner]))
    assert "    # managed by file:edge\n" in exported
    assert exported.endswith("    # key ci: managed by api\n")
    assert request(loader.parse(exported, "f", Secrets({}, tmp_path))).document.routes[0].model == "m"
