"""Changes to nodes: versions, audit, owners, and what is removed with an organisation."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.xds_server.store.databases import OpenStore
from tests.xds_server.store.writing.joining import invite, join, make_owner
from xds_server.errors import AlreadyExistsError, InvalidFieldError, NotFoundError, StaleWriteError
from xds_server.model import Node, Visibility
from xds_server.store import AuditQuery, Store, node_names
from xds_server.store.records import Action
from xds_server.store.settings import Invitation, NodeChange
from xds_server.store.writing import keys, nodes, organisations


def update(store: Store, reference: str, change: NodeChange, expected: int = 0) -> Node:
    return store.write("admin", lambda tx: nodes.update(tx, reference, change, expected=expected)).value


def remove(store: Store, reference: str, expected: int = 0) -> Node:
    return store.write("admin", lambda tx: nodes.remove(tx, reference, expected=expected)).value


def test_names_are_made_of_what_machines_propose(store: Store) -> None:
    make_owner(store)
    make_owner(store, "other")
    proposals = [
        "Jane's MacBook Pro.local",
        "",
        "  ",
        "ünï",
        "gpu",
        "gpu",
        "GPU",
        "x" * 100_000_000,
        "nd-" + "a" * 16,
    ]
    names = [join(store, name=each).name for each in proposals]
    assert names == [
        *("jane-s-macbook-pro.local", "node", "node-2", "n", "gpu", "gpu-2", "gpu-3"),
        *("x" * 63, "node-nd-" + "a" * 16),
    ]
    assert join(store, organisation="other", name="gpu").name == "gpu"


def test_a_taken_name_that_is_long_is_shortened() -> None:
    taken = {"x" * 63, "x" * 61 + "-2"}
    assert node_names.fitted("X" * 70, taken) == "x" * 61 + "-3"


def test_an_update_changes_what_it_names(open_store: OpenStore) -> None:
    store = open_store()
    make_owner(store)
    node = join(store, Invitation(require_approval=True))
    approved = update(store, node.id, NodeChange(approved=True))
    assert approved == replace(node, approved=True, version=node.version + 1)
    changed = update(store, "gpu", NodeChange("rig", Visibility.COMMUNITY, drained=True, boost=250))
    assert changed == replace(
        approved,
        name="rig",
        visibility=Visibility.COMMUNITY,
        drained=True,
        boost=250,
        version=approved.version + 1,
    )
    assert open_store().load().nodes == {node.id: changed}
    revision = store.load().revision
    assert update(store, "acme/rig", NodeChange(boost=250)) == changed
    assert store.load().revision == revision


def test_writers_see_each_other(store: Store) -> None:
    make_owner(store)
    node = join(store)
    update(store, node.id, NodeChange(boost=50), expected=node.version)
    with pytest.raises(StaleWriteError, match='node "acme/gpu" is at version'):
        update(store, node.id, NodeChange(boost=60), expected=node.version)
    with pytest.raises(StaleWriteError):
        remove(store, node.id, expected=node.version)


def test_names_stay_unique_within_an_organisation(store: Store) -> None:
    make_owner(store)
    make_owner(store, "other")
    join(store, name="a")
    join(store, name="b")
    foreign = join(store, organisation="other", name="a")
    with pytest.raises(AlreadyExistsError, match='its organisation has a node "b"'):
        update(store, "acme/a", NodeChange(name="b"))
    with pytest.raises(InvalidFieldError, match=f"acme/a \\(nd-.*other/a \\({foreign.id}\\); accepted: an id"):
        update(store, "a", NodeChange(boost=50))
    assert update(store, "other/a", NodeChange(name="b")).organisation_id == foreign.organisation_id
    for unknown in ("c", "acme/c", "nowhere/a", "", "/", "nd-" + "a" * 16):
        with pytest.raises(NotFoundError):
            update(store, unknown, NodeChange(boost=50))


def test_a_removed_node_is_gone_and_its_name_is_free(store: Store) -> None:
    make_owner(store)
    node = join(store)
    assert remove(store, "gpu").id == node.id
    assert store.load().nodes == {}
    for act in (
        lambda: remove(store, node.id),
        lambda: update(store, node.id, NodeChange(boost=50)),
        lambda: store.write("registry", lambda tx: nodes.leave(tx, node.id)),
    ):
        with pytest.raises(NotFoundError):
            act()
    again = join(store)
    assert (again.name, again.id != node.id) == ("gpu", True)


def test_every_change_says_who_made_it(store: Store) -> None:
    make_owner(store)
    node = join(store)
    update(store, node.id, NodeChange(drained=True))
    store.write("registry", lambda tx: nodes.leave(tx, node.id))
    left, drained, joined = store.audit_events(AuditQuery(object_type="node"))
    assert [each.object_name for each in (left, drained, joined)] == ["acme/gpu"] * 3
    assert (joined.actor, joined.action, joined.before) == (f"node:{node.id}", Action.CREATE, "")
    assert json.loads(joined.after)["id"] == node.id
    assert (drained.actor, drained.action) == ("admin", Action.UPDATE)
    assert (json.loads(drained.before)["drained"], json.loads(drained.after)["drained"]) == (False, True)
    assert (left.actor, left.action, left.after) == (f"node:{node.id}", Action.DELETE, "")
    assert not store.verify_audit().first_broken


def test_revoking_an_owners_key_opens_its_node_to_nobody(store: Store) -> None:
    key = make_owner(store)
    private = join(store, Invitation("ci", visibility=Visibility.PRIVATE))
    shared = join(store, Invitation("ci", visibility=Visibility.COMMUNITY))
    unowned = join(store)
    store.write("admin", lambda tx: keys.revoke(tx, key.id))
    found = store.load().nodes
    version = store.load().revision
    assert found[private.id] == replace(private, owner_key_id="", approved=False, version=version)
    assert found[shared.id] == replace(shared, owner_key_id="", version=version)
    assert found[unowned.id] == unowned


def test_nodes_go_with_their_organisation(store: Store) -> None:
    make_owner(store)
    make_owner(store, "other")
    kept = join(store, organisation="other")
    join(store, Invitation("ci"))
    remove(store, join(store).id)
    invite(store)
    store.write("admin", lambda tx: organisations.delete(tx, "acme"))
    assert store.load().nodes == {kept.id: kept}
    events = store.audit_events(AuditQuery(limit=4))
    assert [(each.action, each.object_type) for each in reversed(events)] == [
        (Action.DELETE, "join-token"),
        (Action.DELETE, "node"),
        (Action.DELETE, "key"),
        (Action.DELETE, "organisation"),
    ]
    make_owner(store)
    assert join(store).name == "gpu"


def test_only_changed_nodes_are_read_again(store: Store) -> None:
    make_owner(store)
    join(store)
    before = store.load()
    make_owner(store, "other")
    assert store.load().nodes is before.nodes
    join(store)
    after = store.load()
    assert len(after.nodes) == 2
    assert after.keys is not None
    assert after.routes is before.routes
