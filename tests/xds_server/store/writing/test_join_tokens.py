"""A token admits one node, once, in time; a caller with only a part of it learns nothing."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.xds_server.store.databases import OpenStore
from tests.xds_server.store.writing.joining import FINGERPRINT, enrol, invite, make_owner
from xds_server.errors import AlreadyExistsError, JoinTokenError, NotFoundError
from xds_server.model import Node, Visibility
from xds_server.store import AuditQuery, Store
from xds_server.store.records import Action, ObjectType
from xds_server.store.settings import Invitation
from xds_server.store.writing import join_tokens, keys, nodes, organisations
from xds_server.store.writing.transaction import Transaction

HOUR_US = 3_600_000_000


KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def later(store: Store, token: str, seconds: int, key_hash: bytes = KEY) -> Node:
    """Enrols after this many seconds."""

    def work(tx: Transaction) -> Node:
        tx.now_us += seconds * 1_000_000
        return nodes.enrol(tx, token, "gpu", key_hash)

    return store.write("registry", work).value


def test_a_token_says_what_its_node_becomes(store: Store) -> None:
    key = make_owner(store)
    token = invite(store, Invitation("ci", "rig", Visibility.PRIVATE, require_approval=True))
    assert re.fullmatch(rf"tlj_[a-z2-7]{{10}}_[A-Za-z0-9]{{43}}_{FINGERPRINT}", token)
    node = enrol(store, token, "what it proposes")
    assert re.fullmatch(r"nd-[a-z2-7]{16}", node.id)
    assert (node.name, node.owner_key_id, node.organisation_id) == ("rig", key.id, key.organisation_id)
    assert (node.visibility, node.approved, node.drained, node.boost) == (Visibility.PRIVATE, False, False, 100)
    assert store.load().nodes == {node.id: node}


def test_a_token_admits_one_node(store: Store) -> None:
    make_owner(store)
    token = invite(store)
    enrol(store, token)
    with pytest.raises(JoinTokenError, match=r"was used at 20\d\d-.*Z, and each admits one machine; ask the"):
        enrol(store, token)
    assert len(store.load().nodes) == 1


def test_the_user_of_a_token_may_ask_again_for_a_while(store: Store) -> None:
    """The first answer may have been lost."""
    make_owner(store)
    token = invite(store)
    node = enrol(store, token, key_hash=KEY)
    before = store.load()
    for seconds in (0, 600, 800):  # of 900, because this test takes time itself
        assert later(store, token, seconds) == node
    assert store.load() == before
    with pytest.raises(JoinTokenError, match="was used at"):
        later(store, token, 1, OTHER_KEY)
    with pytest.raises(JoinTokenError, match="was used at"):
        later(store, token, 901)
    store.write("admin", lambda tx: nodes.remove(tx, node.id))
    with pytest.raises(JoinTokenError, match="was used at"):
        later(store, token, 1)


def test_nobody_asks_again_after_the_tokens_end(store: Store) -> None:
    make_owner(store)
    token = invite(store, Invitation(ttl_seconds=600))
    node = later(store, token, 30)
    assert later(store, token, 400) == node
    with pytest.raises(JoinTokenError, match="was used at"):
        later(store, token, 601)


def test_replicas_that_are_asked_at_once_with_one_key_make_one_node(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    make_owner(stores[0])
    for turn in range(5):
        token = invite(stores[0])
        with ThreadPoolExecutor(len(stores)) as pool:
            joined = [pool.submit(enrol, each, token, key_hash=KEY) for each in stores]
            (node,) = {each.result(240) for each in joined}
        assert len(stores[0].load().nodes) == turn + 1
        with pytest.raises(JoinTokenError, match="was used at"):
            enrol(stores[1], token, key_hash=OTHER_KEY)
    created = AuditQuery(object_type=ObjectType.NODE)
    assert len(stores[0].audit_events(created)) == 5
    assert node in stores[-1].load().nodes.values()


def test_a_token_expires(store: Store) -> None:
    make_owner(store)
    token = invite(store, Invitation(ttl_seconds=3600))
    with pytest.raises(JoinTokenError, match=r"expired at 20\d\d-.*`trunkline nodes invite`"):
        later(store, token, 3600)
    assert later(store, token, 1800).id in store.load().nodes


def test_two_that_use_a_token_at_once_are_one_node(open_store: OpenStore) -> None:
    """Each of the two machines uses a replica of its own."""
    stores = [open_store() for _ in range(4)]
    make_owner(stores[0])
    for _ in range(5):
        token = invite(stores[0])
        joined: list[Node] = []
        refused: list[JoinTokenError] = []
        barrier = threading.Barrier(len(stores))

        def race(store: Store) -> None:
            barrier.wait(60)  # noqa: B023  # joined below
            try:
                joined.append(enrol(store, token))  # noqa: B023
            except JoinTokenError as error:
                refused.append(error)  # noqa: B023

        threads = [threading.Thread(target=race, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        assert (len(joined), len(refused)) == (1, 3)
        assert all("was used at" in str(error) for error in refused)
    assert len(stores[0].load().nodes) == 5


def test_only_the_whole_token_is_known(store: Store) -> None:
    make_owner(store)
    token = invite(store)
    for wrong in (
        "",
        "tlj_",
        token[:-1],
        token + "0",
        token.replace("tlj_", "TLJ_"),
        token[:-64] + "0" * 64,
        token[:15] + "x" * 43 + token[58:],
        "tlj_" + "a" * 10 + token[14:],
        token + "\n",
        "x" * 10_000_000,
    ):
        with pytest.raises(JoinTokenError, match="is not known"):
            enrol(store, wrong)
    enrol(store, token)


def test_a_token_is_kept_as_a_hash_alone(store: Store) -> None:
    make_owner(store)
    token = invite(store)
    secret = token.split("_")[2]
    with store._reader.snapshot() as snapshot:
        kept = str(snapshot.rows("SELECT * FROM join_token"))
        reported = str(snapshot.rows("SELECT before, after FROM audit_event"))
    assert secret not in kept
    assert secret not in reported
    assert secret.encode().hex() not in kept


def test_tokens_are_audited_and_leave_no_trace_in_the_state(store: Store) -> None:
    make_owner(store)
    before = store.load()
    invite(store, Invitation("ci"))
    after = store.load()
    assert after.nodes is before.nodes
    (event,) = store.audit_events(AuditQuery(object_type=ObjectType.JOIN_TOKEN))
    assert (event.actor, event.action) == ("admin", Action.CREATE)
    assert re.fullmatch(r"acme/[a-z2-7]{10}", event.object_name)
    assert '"visibility":"organisation"' in event.after


def test_invitations_name_what_exists(store: Store) -> None:
    make_owner(store)
    enrol(store, invite(store, Invitation(name="rig")))
    with pytest.raises(NotFoundError, match='no organisation "other"'):
        invite(store, organisation="other")
    with pytest.raises(NotFoundError, match='no key "acme/cd"'):
        invite(store, Invitation("cd"))
    with pytest.raises(AlreadyExistsError, match='node "acme/rig" exists'):
        invite(store, Invitation(name="rig"))


def test_a_revoked_owner_key_admits_nobody(store: Store) -> None:
    key = make_owner(store)
    owned, others = invite(store, Invitation("ci")), invite(store)
    store.write("admin", lambda tx: keys.revoke(tx, key.id))
    with pytest.raises(JoinTokenError, match="withdrawn"):
        enrol(store, owned)
    enrol(store, others)
    actions = [each.action for each in store.audit_events(AuditQuery(object_type="join-token"))]
    assert actions == [Action.DELETE, Action.CREATE, Action.CREATE]


def test_tokens_go_with_their_organisation(store: Store) -> None:
    make_owner(store)
    token = invite(store)
    store.write("admin", lambda tx: organisations.delete(tx, "acme"))
    with pytest.raises(JoinTokenError, match="is not known"):
        enrol(store, token)


def test_old_tokens_are_forgotten(store: Store) -> None:
    make_owner(store)
    used, expired = invite(store), invite(store, Invitation(ttl_seconds=60))
    enrol(store, used)

    def after(days: int) -> int:
        def work(tx: Transaction) -> int:
            tx.now_us += days * 24 * HOUR_US
            join_tokens.invite(tx, "acme", Invitation(), fingerprint=FINGERPRINT)
            return len(tx.snapshot().rows("SELECT 1 FROM join_token"))

        return store.write("admin", work).value

    assert after(6) == 3
    assert after(8) == 2
    for token in (used, expired):
        with pytest.raises(JoinTokenError, match="used or expired long ago"):
            enrol(store, token)
