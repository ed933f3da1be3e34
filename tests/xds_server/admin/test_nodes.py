"""Nodes over the wire: invited, listed, approved, removed, and their contributions."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from tests.xds_server.admin.conftest import TUNNEL, Admin, Authorised, Clients, Live
from tests.xds_server.admin.documents import document
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.writing.joining import enrol, join, make_owner
from xds_server.admin import AdminService, TokenInterceptor
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.reader import LedgerReader
from xds_server.model import Visibility
from xds_server.store import AsyncStore, Store
from xds_server.store.settings import Invitation
from xds_server.transport.ads import SERVER_OPTIONS

TOKEN = "admin-token-of-the-tests-0123456789"


async def invite(admin: Admin, **fields: Any) -> pb.InviteNodeResponse:
    request = pb.InviteNodeRequest(**{"organisation": "acme", **fields})
    return await admin.stub.InviteNode(request)  # type: ignore[no-any-return]


async def nodes(admin: Admin, organisation: str = "") -> list[pb.Node]:
    return list((await admin.stub.ListNodes(pb.ListNodesRequest(organisation=organisation))).nodes)


async def update(admin: Admin, node_id: str, **fields: Any) -> pb.UpdateNodeResponse:
    return await admin.stub.UpdateNode(pb.UpdateNodeRequest(node_id=node_id, **fields))  # type: ignore[no-any-return]


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


async def test_an_invitation_admits_a_node(admin: Admin) -> None:
    make_owner(admin.store)
    before = int(time.time())
    answer = await invite(
        admin, owner_key="ci", visibility=pb.VISIBILITY_PRIVATE, ttl_seconds=60, require_approval=True, name="rig"
    )
    assert answer.join_url == TUNNEL.url
    assert before + 60 <= answer.expires_at <= int(time.time()) + 60
    assert answer.token.startswith("tlj_")
    assert answer.token.endswith(f"_{TUNNEL.fingerprint}")
    joined = enrol(admin.store, answer.token)
    assert (joined.visibility, joined.approved, joined.name) == (Visibility.PRIVATE, False, "rig")
    (node,) = await nodes(admin)
    assert node == pb.Node(
        id=joined.id, name="rig", organisation="acme", owner_key="ci", visibility=pb.VISIBILITY_PRIVATE,
        approved=False, drained=False, boost_percent=100, created_at=joined.created_at, version=joined.version,
        state="pending", state_reason="waits for approval", state_reason_code=pb.ReasonCode(code="node.pending"),
    )  # fmt: skip


async def test_an_invitation_without_wishes(admin: Admin) -> None:
    make_owner(admin.store)
    answer = await invite(admin)
    assert answer.expires_at == pytest.approx(time.time() + 3_600, abs=30)
    node = enrol(admin.store, answer.token)
    assert (node.visibility, node.approved, node.owner_key_id) == (Visibility.ORGANISATION, True, "")


async def test_what_no_invitation_may_say(admin: Admin) -> None:
    make_owner(admin.store)
    assert await refused(
        invite(admin, ttl_seconds=31 * 86_400, visibility=9, name="No Name", owner_key="\x00")
    ) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        (
            "ttl_seconds: 2678400 is out of range; accepted: 0 to 2,592,000 seconds (0 = 3,600)\n"
            "visibility: not a known value; accepted: private, organisation, community\n"
            'owner_key: "\\x00" is not a name; accepted: 1 to 63 of a-z, 0-9, `-`, `_`, `.`, '
            "other than `.` and `..`\n"
            'name: "No Name" is not a name; accepted: 1 to 63 of a-z, 0-9, `-`, `_`, `.`, other than `.` and `..`'
        ),
    )
    assert await refused(invite(admin, organisation="other")) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        'organisation: no organisation "other"; known: acme',
    )
    code, said = await refused(invite(admin, owner_key="cd"))
    assert (code, said.startswith('no key "acme/cd"')) == (grpc.StatusCode.NOT_FOUND, True)
    code, said = await refused(invite(admin, name="nd-" + "a" * 16))
    assert "looks like a node's id" in said


async def test_without_a_tunnel_listener_nobody_is_invited(store: Store) -> None:
    make_owner(store)
    clients = Clients()
    server = grpc.aio.server(interceptors=[TokenInterceptor(TOKEN)], options=SERVER_OPTIONS)
    ledger = LedgerReader(store.url)
    admin_pb2_grpc.add_AdminServicer_to_server(AdminService(AsyncStore(store), clients, clients, ledger), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = Authorised(admin_pb2_grpc.AdminStub(channel))
        code, said = await refused(stub.InviteNode(pb.InviteNodeRequest(organisation="acme")))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "start it with --tunnel-listen" in said
        join(store)
        (node,) = (await stub.ListNodes(pb.ListNodesRequest())).nodes
        assert (node.state, node.state_reason) == ("offline", "it has not reported")
    await server.stop(None)
    ledger.close()


async def test_what_nodes_report_stands_beside_what_is_decided(admin: Admin) -> None:
    make_owner(admin.store)
    make_owner(admin.store, "other")
    silent, reporting = join(admin.store, name="z"), join(admin.store, Invitation("ci"), name="b")
    foreign = join(admin.store, organisation="other", name="a")
    admin.nodes.reporting[reporting.id] = Live()
    found = await nodes(admin)
    assert [each.id for each in found] == [reporting.id, silent.id, foreign.id]
    live = found[0]
    assert (live.state, live.state_reason, live.last_seen) == ("online", "all is well", 1_700_000_000)
    assert (live.facts.sidecar_version, live.offers[0].model, live.load.in_flight) == ("1.2.3", "llama3", 3)
    assert (found[1].state, found[1].last_seen, found[1].HasField("facts")) == ("offline", 0, False)
    assert [each.id for each in await nodes(admin, "other")] == [foreign.id]
    code, said = await refused(nodes(admin, "nobody"))
    assert (code, said) == (
        grpc.StatusCode.NOT_FOUND, 'organisation: no organisation "nobody"; known: acme, other',
    )  # fmt: skip


async def test_decisions_are_stored_published_and_answered(admin: Admin) -> None:
    make_owner(admin.store)
    joined = join(admin.store, Invitation(require_approval=True))
    admin.nodes.reporting[joined.id] = Live()
    answer = await update(
        admin, "gpu", version=joined.version, approved=True, drained=True, boost_percent=300, name="rig",
        visibility=pb.VISIBILITY_COMMUNITY,
    )  # fmt: skip
    node = answer.node
    assert (node.approved, node.drained, node.boost_percent, node.name) == (True, True, 300, "rig")
    assert (node.visibility, node.organisation, node.state) == (pb.VISIBILITY_COMMUNITY, "acme", "online")
    assert answer.propagation.revision == admin.store.load().revision == node.version
    assert admin.clients.published == [node.version]
    resumed = await update(admin, joined.id, drained=False)
    assert (resumed.node.drained, resumed.node.boost_percent) == (False, 300)
    code, said = await refused(update(admin, joined.id, version=node.version, drained=True))
    assert (code, "read it again" in said) == (grpc.StatusCode.ABORTED, True)


async def test_an_actor_is_named_in_the_audit_log(admin: Admin) -> None:
    make_owner(admin.store)
    node = join(admin.store)
    await admin.stub.acting_for("console:jane").RemoveNode(pb.RemoveNodeRequest(node_id=node.id))
    events = (await admin.stub.ListAuditEvents(pb.ListAuditEventsRequest(object_type="node"))).events
    assert [(each.actor, each.action, each.object_name) for each in events] == [
        ("console:jane", "delete", "acme/gpu"), (f"node:{node.id}", "create", "acme/gpu"),
    ]  # fmt: skip
    (token,) = (await admin.stub.ListAuditEvents(pb.ListAuditEventsRequest(object_type="join-token"))).events
    assert token.action == "create"


async def test_a_removed_node_is_gone(admin: Admin) -> None:
    make_owner(admin.store)
    node = join(admin.store)
    code, _ = await refused(admin.stub.RemoveNode(pb.RemoveNodeRequest(node_id=node.id, version=1)))
    assert code is grpc.StatusCode.ABORTED
    answer = await admin.stub.RemoveNode(pb.RemoveNodeRequest(node_id="acme/gpu", version=node.version))
    assert answer.propagation.revision == admin.store.load().revision
    assert await nodes(admin) == []
    for call in (
        admin.stub.RemoveNode(pb.RemoveNodeRequest(node_id=node.id)),
        update(admin, node.id, drained=True),
    ):
        code, said = await refused(call)
        assert code is grpc.StatusCode.NOT_FOUND
        assert "`trunkline nodes list`" in said


async def test_what_no_decision_may_say(admin: Admin) -> None:
    make_owner(admin.store)
    join(admin.store)
    assert await refused(update(admin, "", version=-1, name="", visibility=0, boost_percent=9)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        (
            "node_id: accepted: a node's id, its name if it is unique, or organisation/name\n"
            f"version: -1 is out of range; accepted: 0 to {2**62:,} (0 = any)\n"
            'name: "" is not a name; accepted: 1 to 63 of a-z, 0-9, `-`, `_`, `.`, other than `.` and `..`\n'
            "visibility: not a known value; accepted: private, organisation, community\n"
            "boost_percent: 9 is out of range; accepted: 10 to 1,000 percent"
        ),
    )


async def test_apply_never_removes_a_node(admin: Admin) -> None:
    """Documents contain no nodes, so applying one does not remove nodes along with the objects that it omits."""
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    owner = document().organisations[0].organisation.name
    node = join(admin.store, organisation=owner)
    exported = (await admin.stub.Export(pb.ExportRequest())).document
    for applied in (document(), exported):
        await admin.stub.Apply(pb.ApplyRequest(document=applied))
    before = admin.store.load()
    assert before.nodes == {node.id: node}
    for dry_run in (True, False):
        nothing = pb.ApplyRequest(
            document=pb.Document(), prune=True, sections=["routes", "organisations"], dry_run=dry_run
        )
        (conflict,) = (await admin.stub.Apply(nothing)).conflicts
        assert (conflict.object_name, conflict.detail) == (owner, "it has nodes (gpu)")
    assert admin.store.load().nodes == before.nodes
    await admin.stub.taking_over().DeleteOrganisation(pb.DeleteOrganisationRequest(name=owner))
    assert await nodes(admin) == []


async def test_apply_says_that_a_nodes_owner_changed(admin: Admin) -> None:
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    wanted = document()
    owner, key = wanted.organisations[0].organisation.name, wanted.organisations[0].keys[0].key.name
    join(admin.store, Invitation(key, visibility=Visibility.PRIVATE), organisation=owner)
    del wanted.organisations[0].keys[0]
    answer = await admin.stub.Apply(pb.ApplyRequest(document=wanted, prune=True))
    change = answer.changes[-1]
    assert (change.kind, change.object_type, change.object_name) == (pb.Change.KIND_UPDATE, "node", f"{owner}/gpu")
    assert [field.field for field in change.fields] == ["approved", "owner_key_id"]


async def test_contributions(admin: Admin, ledger: Ledger) -> None:
    make_owner(admin.store)
    node = join(admin.store)
    fields: dict[str, Any] = {"node_id": node.id, "target_id": "nodes/llama3", "earned_nano_usd": 7}
    await ledger.append(batch(usage(**fields), usage(at=MONDAY_10 + 24 * HOUR, status=500, **fields)))
    await ledger.write(
        lambda writing: writing.run("INSERT INTO node_uptime VALUES (?, ?, ?)", MONDAY_10 // HOUR, node.id, 60)
    )

    async def report(**wanted: Any) -> list[pb.Contribution]:
        return list((await admin.stub.ReportContributions(pb.ReportContributionsRequest(**wanted))).rows)

    assert await report() == [
        pb.Contribution(
            node_id=node.id, node_name="gpu", requests=2, errors=1, prompt_tokens=200, completion_tokens=100,
            earned_nano_usd=14, uptime_seconds=60,
        )
    ]  # fmt: skip
    rows = await report(by=["day", "owner", "model"], organisation="acme", since=MONDAY_10 + HOUR)
    assert rows == [
        pb.Contribution(
            owner="acme", model="llama3", day="2026-11-03", requests=1, errors=1, prompt_tokens=100,
            completion_tokens=50, earned_nano_usd=7,
        )
    ]  # fmt: skip
    assert await report(organisation="org_gone") == []
    assert await refused(report(by=["colour", "node", "node"], until=-1)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        (
            'by[0]: "colour" is not known; accepted: node, owner, model, day\n'
            "by[2]: node is given twice\n"
            "until: -1 is out of range; accepted: 0 to 253,402,300,799 Unix seconds"
        ),
    )
    code, _ = await refused(report(organisation="nobody"))
    assert code is grpc.StatusCode.NOT_FOUND
