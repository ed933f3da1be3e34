"""One changing transaction: the write lock, the revision that it makes, and the audit events of its changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import update
from sqlmodel import Session, col, select

from xds_server.errors import NotFoundError
from xds_server.model import DesiredState
from xds_server.store import audit_chain, reading
from xds_server.store.connection import CHANNEL, DatabaseSnapshot, snapshot_of
from xds_server.store.crypto import Cipher
from xds_server.store.managers import Management
from xds_server.store.records import Action, Actor, ObjectType
from xds_server.store.tables import AuditRow, OrganisationRow, ProviderRow, RevisionRow
from xds_server.store.views import View
from xds_server.store.writing.key_index import KeyIndex
from xds_server.store.writing.removed import Removed

_KINDS = {
    ObjectType.PROVIDER: "providers",
    ObjectType.ROUTE: "routes",
    ObjectType.ORGANISATION: "organisations",
    ObjectType.KEY: "keys",
    ObjectType.NODE: "nodes",
    ObjectType.GATEWAY: "gateway",
    # Not part of the desired state:
    ObjectType.JOIN_TOKEN: "state",
    ObjectType.REQUEST: "state",
    ObjectType.USER: "state",
    ObjectType.MEMBER: "state",
    ObjectType.INVITATION: "state",
    ObjectType.TOKEN: "state",
}


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One change of one object. `changed` has the fields that differ, including secrets, whose views look
    alike.
    """

    action: Action
    object_type: ObjectType
    object_name: str
    before: View | None
    after: View | None
    organisation_id: str
    changed: frozenset[str]


class Transaction:
    """Holds the write lock from the beginning, so that writers follow one another in the order of their revisions.

    `revision` is the state's next revision if anything changes, and the version of every changed object.
    `management` is the manager for which it writes: the API, unless a file is applied.
    """

    def __init__(self, session: Session, cipher: Cipher, actor: Actor) -> None:
        self.session = session
        self.cipher = cipher
        self.actor = actor.name
        self.management = Management(take_over=actor.take_over)
        self.now_us = time.time_ns() // 1000
        self.events: list[ObjectChange] = []
        locked = session.exec(select(RevisionRow).where(RevisionRow.kind == "state").with_for_update()).one()
        self.base_revision = locked.value
        self.revision = self.base_revision + 1
        self.key_index: KeyIndex | None = None
        self._removed: Removed | None = None
        #: Ids by name; organisations.put and delete keep it up to date.
        self.organisation_ids: dict[str, str] = dict(
            session.exec(select(OrganisationRow.name, OrganisationRow.id)).all()
        )

    @property
    def now(self) -> int:
        """Returns Unix seconds."""
        return self.now_us // 1_000_000

    def record(
        self,
        action: Action,
        object_type: ObjectType,
        object_name: str,
        before: View | None,
        after: View | None,
        *,
        organisation_id: str,
        secrets_changed: Iterable[str] = (),
    ) -> None:
        """Records a change. Every change of an object passes through here.

        `organisation_id` is the object's owner, whose owners may read the event; empty: only admins may.
        """
        fields = {**(before or {}), **(after or {})}
        changed = {name for name in fields if (before or {}).get(name) != (after or {}).get(name)}
        changed.update(secrets_changed)
        self.events.append(
            ObjectChange(action, object_type, object_name, before, after, organisation_id, frozenset(changed))
        )

    def state(self) -> DesiredState:
        """Returns the desired state, including the changes of this transaction."""
        return reading.load(self.snapshot(), self.cipher).state

    def snapshot(self) -> DatabaseSnapshot:
        """Returns a snapshot that includes what this transaction has written so far."""
        self.session.flush()
        return snapshot_of(self.session.connection().connection.dbapi_connection)

    def provider_names(self) -> frozenset[str]:
        """Returns the names of all providers, those of this transaction included."""
        return frozenset(self.session.exec(select(ProviderRow.name)))

    def organisation_id(self, name: str) -> str:
        """Returns an organisation's id. Raises NotFoundError."""
        try:
            return self.organisation_ids[name]
        except KeyError:
            raise NotFoundError(f'no organisation "{name}"') from None

    def keys(self) -> KeyIndex:
        """Returns the index of keys; loaded once, and kept up to date by the functions of `keys`."""
        if self.key_index is None:
            self.key_index = KeyIndex.load(self.snapshot())
        return self.key_index

    def removed(self) -> Removed:
        """Returns what the API removed of the files' objects; loaded once."""
        if self._removed is None:
            self._removed = Removed(self.session)
        return self._removed

    def finish(self) -> int:
        """Writes the audit events, raises the counters, notifies other replicas. Returns the revision."""
        if not self.events:
            return self.base_revision
        self._append_events()
        kinds = {"state", *(_KINDS[event.object_type] for event in self.events)}
        self.session.exec(update(RevisionRow).where(col(RevisionRow.kind).in_(kinds)).values(value=self.revision))
        self.session.flush()
        if not self.snapshot().is_sqlite:
            self.snapshot().rows("SELECT pg_notify(?, ?)", CHANNEL, str(self.revision))
        return self.revision

    def _append_events(self) -> None:
        """Appends events under the write lock, so that replicas append to one chain, which never forks."""
        last, previous = audit_chain.head(self.snapshot())
        for id_, event in enumerate(self.events, last + 1):
            entry = audit_chain.ChainEntry(
                id=id_,
                at_us=self.now_us,
                revision=self.revision,
                actor=self.actor,
                action=event.action.value,
                object_type=event.object_type.value,
                object_name=event.object_name,
                before=_json(event.before),
                after=_json(event.after),
                organisation_id=event.organisation_id,
            )
            previous = audit_chain.link(previous, entry)
            self.session.add(AuditRow(**entry._asdict(), hash=previous))


def _json(view: View | None) -> str:
    return "" if view is None else json.dumps(view, separators=(",", ":"), ensure_ascii=False)
