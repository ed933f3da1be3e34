"""The ledger's part of the SQL schema as SQLModel tables; `tables` has the rest. No code reads or writes through
them: they make sure that the migrations create what the ledger's statements expect.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary
from sqlmodel import Field, SQLModel

_AutoId = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's row id


class UsageBlockRow(SQLModel, table=True):
    """Usage records that arrived together and began in one Unix hour, see ledger.blocks. The row also has the
    highest value of each order by which the heaviest requests are searched.
    """

    __tablename__ = "usage_block"
    __table_args__: ClassVar = (
        Index("usage_block_cost", "hour", "cost_nano_usd"),
        Index("usage_block_tokens", "hour", "tokens"),
        Index("usage_block_duration", "hour", "duration_us"),
    )
    id: int = Field(primary_key=True, sa_type=_AutoId)
    hour: int
    cost_nano_usd: int = Field(sa_type=BigInteger)
    tokens: int = Field(sa_type=BigInteger)
    duration_us: int = Field(sa_type=BigInteger)
    data: bytes = Field(sa_type=LargeBinary)


class UsageRequestRow(SQLModel, table=True):
    """An index of usage records, in the order in which they began, with the block that holds each."""

    __tablename__ = "usage_request"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    started_at_us: int = Field(primary_key=True, sa_type=BigInteger)
    id: str = Field(primary_key=True)
    block: int = Field(sa_type=BigInteger)


class UsageIdRow(SQLModel, table=True):
    """Hashes of the request ids of a stretch of time in Unix microseconds, see ledger.request_ids."""

    __tablename__ = "usage_id"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    bucket: int = Field(primary_key=True)
    since_us: int = Field(primary_key=True, sa_type=BigInteger)
    until_us: int = Field(sa_type=BigInteger)
    hashes: bytes = Field(sa_type=LargeBinary)


class UsageIdPositionRow(SQLModel, table=True):
    """The time (Unix microseconds) before which all requests are indexed."""

    __tablename__ = "usage_id_position"
    id: int = Field(primary_key=True)
    until_us: int = Field(sa_type=BigInteger)


class UsageUserRow(SQLModel, table=True):
    """The requests of a stretch of time that have a `user`, see ledger.users."""

    __tablename__ = "usage_user"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    bucket: int = Field(primary_key=True)
    since_us: int = Field(primary_key=True, sa_type=BigInteger)
    until_us: int = Field(sa_type=BigInteger)
    entries: bytes = Field(sa_type=LargeBinary)


class UsageUserPositionRow(SQLModel, table=True):
    """The time (Unix microseconds) before which all requests with a `user` are indexed."""

    __tablename__ = "usage_user_position"
    id: int = Field(primary_key=True)
    until_us: int = Field(sa_type=BigInteger)


class UsageOutcomeRow(SQLModel, table=True):
    """A request that ended otherwise than with status 200, by its HTTP status or another outcome, see
    ledger.outcomes. `series_id` 0: unknown; `user_hash` 0: it has no `user`.
    """

    __tablename__ = "usage_outcome"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    outcome: int = Field(primary_key=True)
    started_at_us: int = Field(primary_key=True, sa_type=BigInteger)
    id: str = Field(primary_key=True)
    block: int = Field(sa_type=BigInteger)
    series_id: int = Field(sa_type=BigInteger)
    user_hash: int = Field(sa_type=BigInteger)


class UsageOutcomePositionRow(SQLModel, table=True):
    """How far the blocks of earlier versions, up to `last_block`, are indexed: completely from `hour` (since 1970)
    on, and in the hour before up to `block`. No row: all are.
    """

    __tablename__ = "usage_outcome_position"
    id: int = Field(primary_key=True)
    hour: int
    block: int = Field(sa_type=BigInteger)
    last_block: int = Field(sa_type=BigInteger)


class UsageRefusedRow(SQLModel, table=True):
    """A usage record that could not be stored, as it arrived, see ledger.refused. `refused_at_us` is Unix
    microseconds; `digest` identifies the record, which may arrive again.
    """

    __tablename__ = "usage_refused"
    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    refused_at_us: int = Field(sa_type=BigInteger, index=True)
    source: str
    field: str
    reason: str
    data: bytes = Field(sa_type=LargeBinary)


class UsageSeriesRow(SQLModel, table=True):
    """A series of roll-ups: one combination of all dimensions but time. The sums refer to its number.

    `digest` identifies it; `last_hour` is the newest hour that has a roll-up of it. In addition to these series
    there is one for each organisation and model, which sums the series with its number as `group_id`. It has no
    group itself, and only sums by day.
    """

    __tablename__ = "usage_series"
    id: int | None = Field(default=None, primary_key=True, sa_type=_AutoId)
    digest: bytes = Field(sa_type=LargeBinary, unique=True)
    organisation_id: str
    key_id: str
    route_id: str
    model: str
    target_id: str
    provider: str
    tag: str
    last_hour: int
    group_id: int | None = Field(default=None, sa_type=BigInteger)


class UsageSums(SQLModel):
    """Sums over the requests of one series. `failed_attempts` are those at this target that went on to another.

    `answer_tokens` over `answer_us` is the speed of answering, of those requests that have one.
    """

    requests: int = Field(sa_type=BigInteger)
    errors: int = Field(sa_type=BigInteger)
    retries: int = Field(sa_type=BigInteger)
    prompt_tokens: int = Field(sa_type=BigInteger)
    cached_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    reasoning_tokens: int = Field(sa_type=BigInteger)
    cost_nano_usd: int = Field(sa_type=BigInteger)
    estimated: int = Field(sa_type=BigInteger)
    cache_hits: int = Field(sa_type=BigInteger)
    failed_attempts: int = Field(sa_type=BigInteger)
    answer_tokens: int = Field(sa_type=BigInteger)
    answer_us: int = Field(sa_type=BigInteger)


class UsageHourRow(UsageSums, table=True):
    """Sums over one series in one Unix hour.

    The rows lie in the order in which reports add them up: SQLite would sort them otherwise.
    """

    __tablename__ = "usage_hour"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    series_id: int = Field(primary_key=True, sa_type=BigInteger)
    day: int = Field(primary_key=True)
    hour: int = Field(primary_key=True)


class UsageUnitRow(SQLModel, table=True):
    """A sum like those of UsageHourRow, of one of rollup.UNITS. Few requests have any, so only they have a row."""

    __tablename__ = "usage_unit"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    series_id: int = Field(primary_key=True, sa_type=BigInteger)
    day: int = Field(primary_key=True)
    hour: int = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    amount: int = Field(sa_type=BigInteger)


class UsageFirstByteRow(SQLModel, table=True):
    """A histogram of microseconds to the first byte; separate from the sums, so that reports without it do not
    read it.
    """

    __tablename__ = "usage_first_byte"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    series_id: int = Field(primary_key=True, sa_type=BigInteger)
    hour: int = Field(primary_key=True)
    histogram: bytes = Field(sa_type=LargeBinary)


class UsageDayRow(UsageSums, table=True):
    """Sums over one series in one day of UTC, for the days and series up to the position in
    UsageDayPositionRow.
    """

    __tablename__ = "usage_day"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    series_id: int = Field(primary_key=True, sa_type=BigInteger)
    day: int = Field(primary_key=True)


class UsageDayUnitRow(SQLModel, table=True):
    """Sums by day of UsageUnitRow."""

    __tablename__ = "usage_day_unit"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    series_id: int = Field(primary_key=True, sa_type=BigInteger)
    day: int = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    amount: int = Field(sa_type=BigInteger)


class UsageDayFirstByteRow(SQLModel, table=True):
    """Sums by day of UsageFirstByteRow; groups have none."""

    __tablename__ = "usage_day_first_byte"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    series_id: int = Field(primary_key=True, sa_type=BigInteger)
    day: int = Field(primary_key=True)
    histogram: bytes = Field(sa_type=LargeBinary)


class UsageDayPositionRow(SQLModel, table=True):
    """The day, and the series of that day, up to which the sums by day are complete."""

    __tablename__ = "usage_day_position"
    id: int = Field(primary_key=True)
    day: int
    series_id: int = Field(sa_type=BigInteger)


class UsageOpenDayRow(SQLModel, table=True):
    """A day after the position in UsageDayPositionRow that has sums by hour."""

    __tablename__ = "usage_open_day"
    day: int = Field(primary_key=True)


class UsageTagRow(SQLModel, table=True):
    """The tags in an organisation's roll-ups of one hour: clients choose tags, so their number is bounded."""

    __tablename__ = "usage_tag"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    hour: int = Field(primary_key=True)
    organisation_id: str = Field(primary_key=True)
    tag: str = Field(primary_key=True)


class UsageNodeRow(SQLModel, table=True):
    """The requests for one model that a node served in one Unix hour, and its earnings from them. The owner at the
    time when the records arrived is part of the key, so a later owner takes over nothing.
    """

    __tablename__ = "usage_node"
    __table_args__: ClassVar = ({"sqlite_with_rowid": False},)
    hour: int = Field(primary_key=True)
    node_id: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    organisation_id: str = Field(primary_key=True)
    owner_key_id: str = Field(primary_key=True)
    requests: int = Field(sa_type=BigInteger)
    errors: int = Field(sa_type=BigInteger)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    earned_nano_usd: int = Field(sa_type=BigInteger)
