"""Values that the store returns in addition to the desired state: revoked keys and the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from xds_server.model import Key, Visibility


class ObjectType(StrEnum):
    """The kinds of objects in events."""

    PROVIDER = "provider"
    ROUTE = "route"
    ORGANISATION = "organisation"
    KEY = "key"
    NODE = "node"
    GATEWAY = "gateway"
    JOIN_TOKEN = "join-token"  # noqa: S105  # the kind, not a token
    REQUEST = "request"
    USER = "user"
    MEMBER = "member"
    INVITATION = "invitation"
    TOKEN = "token"  # noqa: S105  # the kind, not a token


class Action(StrEnum):
    """The kinds of changes to an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REVOKE = "revoke"
    ROTATE = "rotate"
    CANCEL = "cancel"


class Actor(NamedTuple):
    """The author of a change. `take_over`: the change may claim what a file manages."""

    name: str
    take_over: bool = False


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key with its organisation's name; `revoked_at` is Unix seconds, 0 = not revoked."""

    key: Key
    organisation: str
    revoked_at: int


@dataclass(frozen=True, slots=True)
class JoinTokenRecord:
    """An invitation: what the node that joins with it becomes. Times are Unix seconds. Only a hash of its value is
    stored, and the hash never leaves the store.

    With an empty `name`, the node's own proposal is used. `created_by` is the id of the user who made it; empty:
    the installation.
    """

    id: str
    organisation_id: str
    expires_at: int
    owner_key_id: str = ""
    name: str = ""
    visibility: Visibility = Visibility.ORGANISATION
    require_approval: bool = False
    created_at: int = 0
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. `before` and `after` are JSON objects without secrets, or empty; `at_us` is Unix microseconds."""

    id: int
    at_us: int
    actor: str
    action: Action
    object_type: ObjectType
    object_name: str
    before: str
    after: str
    revision: int
    #: The organisation that the object belonged to; empty: it belonged to the installation.
    organisation_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Selects events, newest first; `before_id` 0 begins at the newest, empty strings match everything.

    `organisation_ids`: only events of objects that belonged to one of these; None: all events.
    """

    limit: int = 100
    before_id: int = 0
    object_type: str = ""
    object_name: str = ""
    organisation_ids: tuple[str, ...] | None = None
