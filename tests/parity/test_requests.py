"""Every field of operators' calls besides the configuration: nodes, invitations, filters; and the CLI's flags."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import click
import pytest
from google.protobuf.message import Message
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.parity import fields
from tests.xds_server.admin.conftest import Admin
from trunkline.config import model, objects
from trunkline.verbs.keys import keys
from trunkline.verbs.providers import providers
from trunkline.verbs.routes import routes
from xds_server.accounts.caller import MACHINE, calling
from xds_server.admin import nodes as admin_nodes, render
from xds_server.admin.problems import Problems
from xds_server.admin.usage import UsageMethods
from xds_server.ledger.query import Filter
from xds_server.model import Node, Visibility
from xds_server.store import views
from xds_server.store.settings import KeySettings, NodeChange
from xds_server.store.writing import keys as stored_keys, organisations

#: Fields that name the object, or the version that was read.
_ADDRESS = {"node_id", "version"}
#: Values that replace those from the descriptor.
_VALUES: dict[str, list[Any]] = {
    "InviteNodeRequest.organisation": ["other"],
    "InviteNodeRequest.owner_key": ["ci"],
    "InviteNodeRequest.ttl_seconds": [77],
    "UpdateNodeRequest.boost_percent": [77],
    "UsageFilter.until": [7_200],
}
#: The flag for a field, if its name differs.
_FLAGS = {
    "ProviderSpec.credentials": "given",
    "ProviderSpec.health": "health_path",
    "RouteSpec.model": "model_name",
    "RouteSpec.organisation": "org",
    "KeySpec.limits": "given",
    "KeySpec.expires_at": "expires",
}


def cases(message: type[Message], without: set[str]) -> list[Any]:
    return [
        pytest.param(field.name, value, id=f"{field.name}={value}")
        for field in message.DESCRIPTOR.fields
        if field.name not in without
        for value in _VALUES.get(f"{message.DESCRIPTOR.name}.{field.name}") or fields.values(field)
    ]


@pytest.mark.parametrize(("field", "value"), cases(admin.UpdateNodeRequest, _ADDRESS))
def test_a_change_of_a_node(field: str, value: Any) -> None:
    request = admin.UpdateNodeRequest(node_id="nd-1", **{field: value})
    change = admin_nodes._change(request, Problems())
    assert change != NodeChange(), f"UpdateNodeRequest.{field} is lost in xds_server/admin/nodes.py"
    # At least one value of the field differs from the node's current one.
    before = next(
        node
        for node in (
            Node("nd-1", "a", "org", visibility=visibility, approved=flag, drained=flag)
            for flag in (True, False)
            for visibility in Visibility
        )
        if change.of(node) != node
    )
    after = change.of(before)
    assert views.node(after) != views.node(before), f"Node.{field} is lost in xds_server/store/views.py"
    shown = [render.node(each, "acme", "", None) for each in (before, after)]
    assert shown[0] != shown[1], f"Node.{field} is lost in xds_server/admin/render.py"


@pytest.mark.parametrize(("field", "value"), cases(admin.InviteNodeRequest, set()))
async def test_an_invitation(field: str, value: Any, admin_service: Admin) -> None:
    def owners(transaction: Any) -> None:
        for name in ("acme", "other"):
            organisations.put(transaction, name, limits=(), expected=0)
            stored_keys.create(transaction, name, "ci", KeySettings())

    admin_service.store.write("admin", owners)
    reported = []
    for given in ({}, {field: value}):
        other = {field: 3} if field == "visibility" and not given and value == 2 else {}
        wanted = {"organisation": "acme", **other, **given}
        answer = await admin_service.stub.InviteNode(admin.InviteNodeRequest(**wanted))
        (event, *_) = (await admin_service.stub.ListAuditEvents(admin.ListAuditEventsRequest(page_size=1))).events
        said = event.after.replace(answer.token.split("-")[-1], "")
        reported.append((event.object_name.partition("/")[0], _without_id(said)))
    assert reported[0] != reported[1], (
        f"InviteNodeRequest.{field} is lost in xds_server/admin/nodes.py or join_tokens.py"
    )


def _without_id(view: str) -> str:
    """Returns a view as JSON without its id, which always differs, and with the end of tokens
    rounded to minutes.
    """
    fields_of = json.loads(view)
    fields_of.pop("id")
    fields_of["expires_at"] //= 600
    return json.dumps(fields_of)


@pytest.mark.parametrize(("field", "value"), cases(admin.UsageFilter, set()))
async def test_a_filter_of_usage(field: str, value: Any) -> None:
    async def organisation_names() -> dict[str, str]:
        return {f"org_{value}": str(value)}

    methods: Any = SimpleNamespace(_ledger=SimpleNamespace(organisation_names=organisation_names))
    with calling(MACHINE):
        found = await UsageMethods._filter(methods, admin.UsageFilter(**{field: value}))
    assert found != Filter(), f"UsageFilter.{field} is lost in xds_server/admin/usage.py"


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        (model.RouteSpec, (routes, "set")),
        (model.ProviderSpec, (providers, "add")),
        (model.ProviderSpec, (providers, "update")),
        (model.KeySpec, (keys, "create")),
    ],
    ids=["routes set", "providers add", "providers update", "keys create"],
)
def test_what_a_file_can_say_a_verb_can(kind: type[Any], verb: tuple[click.Group, str]) -> None:
    group, name = verb
    flags = {parameter.name for parameter in group.commands[name].params}
    said = set(kind.model_fields)
    if kind is model.RouteSpec:
        said = {"_".join(each.path) for each in objects.ROUTE.fields} - {"timeouts"} | set(
            model.TimeoutsSpec.model_fields
        )
    wanted = {_FLAGS.get(f"{kind.__name__}.{field}", field) for field in said}
    missing = ", ".join(sorted(wanted - flags))
    assert not missing, f"trunkline/verbs: `{group.name} {name}` has no flag for {missing}"
