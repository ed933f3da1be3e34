"""The SQL schema as SQLModel tables; `migrations/` creates it. Only the write side imports it: reads need no ORM.

Every `version` is the revision of the object's last change, so a deleted and recreated object never has a version
that was read before.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

#: The condition of partial indices, in a form that both databases accept.
_NOT_REVOKED: dict[str, Any] = {"sqlite_where": text("revoked_at = 0"), "postgresql_where": text("revoked_at = 0")}
_NOT_REMOVED: dict[str, Any] = {"sqlite_where": text("removed_at = 0"), "postgresql_where": text("removed_at = 0")}
_GLOBAL: dict[str, Any] = {
    "sqlite_where": text("organisation_id IS NULL"),
    "postgresql_where": text("organisation_id IS NULL"),
}
_AutoId = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's row id


class RevisionRow(SQLModel, table=True):
    """Revision counters. `state` counts every changing transaction; each kind holds the revision of its last
    change.
    """

    __tablename__ = "revision"
    kind: str = Field(primary_key=True)
    value: int = Field(sa_type=BigInteger)


class SettingRow(SQLModel, table=True):
    """Facts about the database itself: the secret key's fingerprint, whether it was bootstrapped."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: str = Field(sa_type=Text)


class OrganisationRow(SQLModel, table=True):
    """An organisation. `limits` is JSON."""

    __tablename__ = "organisation"
    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    limits: str = Field(sa_type=Text)
    version: int = Field(sa_type=BigInteger)
    managed_by: str
    weight: int


class GatewayRow(SQLModel, table=True):
    """The settings of the gateway, in one row; `origins`, `defaults`, `managers` and `jwt` are JSON. `store`,
    `most_bytes`, `ca_file` and `cache_password` (sealed) belong to the cache, `webhook` and `secret` (sealed) to
    the alerts. `oidc` is JSON with sealed secrets.
    """

    __tablename__ = "gateway"
    id: int = Field(primary_key=True)
    origins: str = Field(sa_type=Text)
    max_age_seconds: int = Field(sa_type=BigInteger)
    defaults: str = Field(sa_type=Text)
    version: int = Field(sa_type=BigInteger)
    managers: str = Field(sa_type=Text)
    store: str
    most_bytes: int = Field(sa_type=BigInteger)
    ca_file: str
    cache_password: bytes = Field(sa_type=LargeBinary)
    webhook: str
    secret: bytes = Field(sa_type=LargeBinary)
    console_url: str
    sso_only: bool
    oidc: str = Field(sa_type=Text)
    jwt: str = Field(sa_type=Text)


class KeyRow(SQLModel, table=True):
    """An API key. `hash` is the SHA-256 of the value; `models`, `limits` and `retired` are JSON; times are Unix
    seconds, 0 = never.
    """

    __tablename__ = "api_key"
    __table_args__: ClassVar = (
        Index("api_key_name", "organisation_id", "name", unique=True, **_NOT_REVOKED),
        Index("api_key_hash", "hash", unique=True, **_NOT_REVOKED),
    )
    id: str = Field(primary_key=True)
    organisation_id: str = Field(foreign_key="organisation.id", ondelete="CASCADE")
    name: str
    hash: bytes = Field(sa_type=LargeBinary)
    models: str = Field(sa_type=Text)
    limits: str = Field(sa_type=Text)
    expires_at: int = Field(sa_type=BigInteger)
    former_hash: bytes = Field(sa_type=LargeBinary)
    former_until: int = Field(sa_type=BigInteger)
    retired: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    revoked_at: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)
    managed_by: str
    max_price: int = Field(sa_type=BigInteger)
    priority: str
    pins_targets: bool


class ProviderRow(SQLModel, table=True):
    """A provider. `credentials` is the sealed JSON list, bound to the provider's name; quotas and statuses are
    JSON.
    """

    __tablename__ = "provider"
    name: str = Field(primary_key=True)
    dialect: str
    base_url: str
    credentials: bytes = Field(sa_type=LargeBinary)
    ca_file: str
    stream_usage: bool
    version: int = Field(sa_type=BigInteger)
    managed_by: str
    credentials_managed_by: str
    quota: str = Field(sa_type=Text)
    credential_quotas: str = Field(sa_type=Text)
    health_path: str
    health_every_seconds: int
    health_statuses: str = Field(sa_type=Text)


class RouteRow(SQLModel, table=True):
    """A route. `organisation_id` is null for a route that everybody sees; times are in milliseconds or seconds as
    named; `limits` is JSON.
    """

    __tablename__ = "route"
    __table_args__: ClassVar = (
        Index("route_global_model", "model", unique=True, **_GLOBAL),
        Index("route_organisation_model", "organisation_id", "model", unique=True),
    )
    id: str = Field(primary_key=True)
    organisation_id: str | None = Field(foreign_key="organisation.id", ondelete="CASCADE")
    model: str
    strategy: str
    first_byte_ms: int
    idle_ms: int
    connect_ms: int
    cache_ttl_seconds: int
    privacy: str
    affinity: str
    limits: str = Field(sa_type=Text)
    reserved_output_tokens: int
    balance: int
    created_at: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)
    managed_by: str
    cache_scope: str
    cache_most_bytes: int = Field(sa_type=BigInteger)
    queue_longest_ms: int
    queue_size: int
    prompt_cache_key: str
    prompt_cache_stable_order: bool


class TargetRow(SQLModel, table=True):
    """A provider's model, or (no provider) a model on the nodes that offer it."""

    __tablename__ = "target"
    route_id: str = Field(primary_key=True, foreign_key="route.id", ondelete="CASCADE")
    position: int = Field(primary_key=True)
    provider: str | None = Field(foreign_key="provider.name", ondelete="RESTRICT", index=True)
    model: str
    weight: int
    tier: int
    context: int = Field(sa_type=BigInteger)
    paused: bool


class PriceRow(SQLModel, table=True):
    """A price as in prices.TargetPrice, of the target with this id in its route; `images` and tiers are JSON.

    The price is not bound to the target's row: the history of a target that leaves its route continues when the
    target comes back.
    """

    __tablename__ = "target_price"
    route_id: str = Field(primary_key=True, foreign_key="route.id", ondelete="CASCADE")
    target_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    valid_from: int = Field(sa_type=BigInteger)
    input: int = Field(sa_type=BigInteger)
    output: int = Field(sa_type=BigInteger)
    cached_input: int | None = Field(sa_type=BigInteger)
    request: int = Field(sa_type=BigInteger)
    cache_write: int | None = Field(sa_type=BigInteger)
    cache_write_1h: int | None = Field(sa_type=BigInteger)
    reasoning: int | None = Field(sa_type=BigInteger)
    audio_input: int | None = Field(sa_type=BigInteger)
    audio_output: int | None = Field(sa_type=BigInteger)
    audio_second_input: int = Field(sa_type=BigInteger)
    audio_second_output: int = Field(sa_type=BigInteger)
    character: int = Field(sa_type=BigInteger)
    search_unit: int = Field(sa_type=BigInteger)
    images: str = Field(sa_type=Text)
    tiers: str = Field(sa_type=Text)
    service_tiers: str = Field(sa_type=Text)


class RemovedRow(SQLModel, table=True):
    """A file's object that the API removed: the file does not create it again, see writing.management.

    `part` is empty for the object as a whole, otherwise the name of a limit. `managed_by` is the file.
    """

    __tablename__ = "removed_object"
    object_type: str = Field(primary_key=True)
    object_name: str = Field(primary_key=True)
    part: str = Field(primary_key=True)
    managed_by: str
    removed_at: int = Field(sa_type=BigInteger)


class NodeRow(SQLModel, table=True):
    """A machine that joined, and what is decided about it. `owner_key_id` is empty for the organisation's own.

    `removed_at` is Unix seconds, 0 = not removed: the rows of removed nodes stay for the contributor report.
    """

    __tablename__ = "node"
    __table_args__: ClassVar = (Index("node_name", "organisation_id", "name", unique=True, **_NOT_REMOVED),)
    id: str = Field(primary_key=True)
    organisation_id: str = Field(foreign_key="organisation.id", ondelete="CASCADE")
    owner_key_id: str
    name: str
    visibility: str
    approved: bool
    drained: bool
    boost: int
    created_at: int = Field(sa_type=BigInteger)
    removed_at: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)


class JoinTokenRow(SQLModel, table=True):
    """An invitation. `hash` is the SHA-256 of the whole token; `used_at` is Unix seconds, 0 = not used.
    `created_by` is the id of the user who made it; empty: the installation.

    After its use, `node_id` is the node that it admitted, and `key_hash` the SHA-256 of that node's public key.
    """

    __tablename__ = "join_token"
    id: str = Field(primary_key=True)
    organisation_id: str = Field(foreign_key="organisation.id", ondelete="CASCADE")
    owner_key_id: str
    name: str
    visibility: str
    require_approval: bool
    hash: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)
    created_by: str = Field(index=True)
    expires_at: int = Field(sa_type=BigInteger)
    used_at: int = Field(sa_type=BigInteger)
    node_id: str = ""
    key_hash: bytes = Field(default=b"", sa_type=LargeBinary)


class NodeUptimeRow(SQLModel, table=True):
    """The seconds of a Unix hour for which a node held its lease."""

    __tablename__ = "node_uptime"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    hour: int = Field(primary_key=True)
    node_id: str = Field(primary_key=True)
    seconds: int = Field(sa_type=BigInteger)


class NodeLiveRow(SQLModel, table=True):
    """A node's last state, as one encoded trunkline.node.v1.NodeReport; `updated` is in Unix seconds.

    `departed`: it had not reported for so long that it was in no pool. Written only by nodes.stored; not part of
    the desired state.
    """

    __tablename__ = "node_live"
    node_id: str = Field(primary_key=True)
    report: bytes = Field(sa_type=LargeBinary)
    updated: int = Field(sa_type=BigInteger)
    departed: bool


class AuditRow(SQLModel, table=True):
    """An audit event. Append-only: triggers refuse UPDATE and DELETE. `before` and `after` are JSON without
    secrets, or empty. `organisation_id` is the object's owner then; empty for the installation.

    `hash` is this event's link of the chain; see audit_chain.
    """

    __tablename__ = "audit_event"
    __table_args__: ClassVar = (
        Index("audit_event_object", "object_type", "object_name", "id"),
        Index("audit_event_organisation", "organisation_id", "id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=_AutoId)
    at_us: int = Field(sa_type=BigInteger)
    actor: str
    action: str
    object_type: str
    object_name: str
    before: str = Field(sa_type=Text)
    after: str = Field(sa_type=Text)
    revision: int = Field(sa_type=BigInteger)
    organisation_id: str
    hash: bytes = Field(sa_type=LargeBinary)


class LimitAlertRow(SQLModel, table=True):
    """A limit that has reached a share of its amount in its last window. `id` stands for limit and share, `data`
    is the message; times are Unix seconds. `delivery` is a word of xds_server.alerts.table.
    """

    __tablename__ = "limit_alert"
    __table_args__: ClassVar = (Index("limit_alert_due", "delivery", "next_at"),)
    id: str = Field(primary_key=True)
    reached_at: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    data: bytes = Field(sa_type=LargeBinary)
    delivery: str
    attempts: int
    next_at: int = Field(sa_type=BigInteger)
    error: str = Field(sa_type=Text)


class GatewayStandingRow(SQLModel, table=True):
    """A gateway's shares of quotas, what it uses of them, and its pauses; see xds_server.requests.sharing. `data`
    is trunkline.requests.v1.Standing; `at` is in Unix milliseconds.
    """

    __tablename__ = "gateway_standing"
    gateway: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger)
    data: bytes = Field(sa_type=LargeBinary)


class RoutingSlotRow(SQLModel, table=True):
    """Measurements of a route's target from one batch of records; `slot` is numbered as in
    xds_server.routing.slots.
    """

    __tablename__ = "routing_slot"
    id: int | None = Field(default=None, primary_key=True, sa_type=_AutoId)
    slot: int = Field(sa_type=BigInteger, index=True)
    route_id: str
    target_id: str
    credential_index: int
    data: bytes = Field(sa_type=LargeBinary)


class RoutingBestRow(SQLModel, table=True):
    """The target that a tier of a route ranks first, and since when (Unix seconds)."""

    __tablename__ = "routing_best"
    route_id: str = Field(primary_key=True)
    tier: int = Field(primary_key=True)
    target_id: str
    since: float
