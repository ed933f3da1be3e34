"""Counts what nodes contributed: requests, tokens and earnings per node, model and hour, and their uptime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from xds_server.errors import InvalidFieldError
from xds_server.ledger.connection import LedgerTransaction, on_conflict_add
from xds_server.ledger.query import Filter
from xds_server.ledger.reports import MAX_ROWS, key_names
from xds_server.ledger.rollup import errors
from xds_server.pool import pool_name
from xds_server.store.accounts import organisation_names
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import records
from xds_server.usage.records import HOUR_US, Columns
from xds_server.usage.scope import Condition

#: The columns of usage_node that are sums.
SUMS = ("requests", "errors", "prompt_tokens", "completion_tokens", "earned_nano_usd")
_EARNED = SUMS.index("earned_nano_usd")

_KEY = {"hour": "integer", **dict.fromkeys(("node_id", "model", "organisation_id", "owner_key_id"), "text")}
_TYPES = {**_KEY, **dict.fromkeys(SUMS, "bigint")}
_ADD = on_conflict_add("usage_node", _KEY, SUMS)
_POOL = pool_name("")


class ContributionDimension(StrEnum):
    """The dimensions of contributions."""

    NODE = "node"
    OWNER = "owner"
    MODEL = "model"
    DAY = "day"


#: Columns of usage_node.
_COLUMNS = {
    ContributionDimension.NODE: ("u.node_id",),
    ContributionDimension.OWNER: ("u.organisation_id", "u.owner_key_id"),
    ContributionDimension.MODEL: ("u.model",),
    ContributionDimension.DAY: ("u.hour / 24",),
}
#: The same columns of node_uptime u and, if the node still exists, node n.
_UPTIME_COLUMNS = {
    **_COLUMNS,
    ContributionDimension.OWNER: ("COALESCE(n.organisation_id, '')", "COALESCE(n.owner_key_id, '')"),
}


class NodeHour(NamedTuple):
    """The key of a sum. `model` is the one that the node offers; `hour` is hours since 1970."""

    hour: int
    node_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Contribution:
    """One line of a report. Dimensions that it does not have are empty; `day` is days since 1970 or -1.

    `sums` are in the order of SUMS; `uptime_seconds` is 0 for lines by model, and for lines by neither node nor
    owner.
    """

    node_id: str
    node_name: str
    owner: str
    model: str
    day: int
    sums: tuple[int, ...]
    uptime_seconds: int


def append(writing: LedgerTransaction, batch: Columns) -> None:
    """Adds new records in the transaction that stores them. The owner is the node's owner at this moment."""
    hours = roll_up(batch) if any(batch["node_id"]) else {}
    ids = sorted({at.node_id for at in hours})
    if not ids:
        return
    owners = {
        id_: (organisation_id, owner_key_id)
        for id_, organisation_id, owner_key_id in writing.rows(
            f"SELECT id, organisation_id, owner_key_id FROM node WHERE id IN ({', '.join('?' * len(ids))})",  # noqa: S608
            *ids,
        )
    }
    rows = [(*at, *owners.get(at.node_id, ("", "")), *sums) for at, sums in sorted(hours.items())]
    writing.insert("usage_node", _TYPES, rows, _ADD)


def roll_up(batch: Columns) -> Mapping[NodeHour, list[int]]:
    """Sums the records that a node answered, in the order of SUMS."""
    found: dict[NodeHour, list[int]] = {}
    for row, error in zip(records.rows(batch), errors(batch), strict=True):
        if not row.node_id:
            continue
        # The model that the node offers, not the public name that some route gives it.
        model = row.target_id.removeprefix(_POOL) if row.target_id.startswith(_POOL) else row.model
        sums = found.setdefault(NodeHour(row.started_at_us // HOUR_US, row.node_id, model), [0] * len(SUMS))
        added = (1, error, row.prompt_tokens, row.completion_tokens, row.earned_nano_usd)
        for index, value in enumerate(added):
            sums[index] += value
    return found


def report(snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[ContributionDimension]) -> list[Contribution]:
    """Returns the lines by day if `by` has it, then by earnings, highest first.

    Of `wanted`, only the times (rounded outward to hours) and the organisation count, which is the nodes' owner.

    Raises InvalidFieldError for too many lines.
    """
    served = _sums(snapshot, wanted, by)
    uptimes = {}
    if ContributionDimension.MODEL not in by and {ContributionDimension.NODE, ContributionDimension.OWNER} & set(
        by
    ):
        uptimes = _uptimes(snapshot, wanted, by)
    nothing = (0,) * len(SUMS)
    keys = dict.fromkeys([*served, *uptimes])
    if len(keys) > MAX_ROWS:
        raise InvalidFieldError([f"by: more than {MAX_ROWS:,} rows; request fewer dimensions or a shorter time"])
    names = _Names(snapshot, by)
    lines = [names.line(by, key, served.get(key, nothing), uptimes.get(key, 0)) for key in keys]
    return sorted(lines, key=lambda each: (each.day, -each.sums[_EARNED], each.owner, each.node_name, each.model))


class _Names:
    """Names nodes, keys and organisations in lines, including those that no longer exist."""

    def __init__(self, snapshot: DatabaseSnapshot, by: Sequence[ContributionDimension]) -> None:
        self._nodes: dict[str, str] = (
            dict(snapshot.rows("SELECT id, name FROM node")) if ContributionDimension.NODE in by else {}
        )
        self._organisations = organisation_names(snapshot) if ContributionDimension.OWNER in by else {}
        self._keys = key_names(snapshot) if ContributionDimension.OWNER in by else {}

    def line(
        self, by: Sequence[ContributionDimension], key: tuple[object, ...], sums: tuple[int, ...], uptime: int
    ) -> Contribution:
        """Returns a line. `key` has the columns of each of `by`, one after the other."""
        values = dict(zip((column for each in by for column in _COLUMNS[each]), key, strict=True))
        node_id = str(values.get("u.node_id", ""))
        organisation_id, key_id = (
            str(values.get(f"u.{name}", "")) for name in ("organisation_id", "owner_key_id")
        )
        organisation = self._organisations.get(organisation_id, organisation_id)
        return Contribution(
            node_id=node_id,
            node_name=self._nodes.get(node_id, ""),
            owner=self._keys.get(key_id, f"{organisation}/{key_id}") if key_id else organisation,
            model=str(values.get("u.model", "")),
            day=int(str(values.get("u.hour / 24", -1))),
            sums=sums,
            uptime_seconds=uptime,
        )


def _sums(
    snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[ContributionDimension]
) -> dict[tuple[object, ...], tuple[int, ...]]:
    columns = [column for each in by for column in _COLUMNS[each]]
    owner, owners = _owned_by("u", wanted)
    rows = snapshot.rows(
        f"SELECT {', '.join(columns)}, {', '.join(f'SUM({name})' for name in SUMS)} FROM usage_node u "  # noqa: S608
        f"WHERE u.hour BETWEEN ? AND ?{owner} GROUP BY {', '.join(columns)} LIMIT {MAX_ROWS + 1}",
        wanted.first_hour,
        wanted.last_hour,
        *owners,
    )
    width = len(columns)
    return {tuple(row[:width]): tuple(int(each) for each in row[width:]) for row in rows}


def _uptimes(
    snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[ContributionDimension]
) -> dict[tuple[object, ...], int]:
    columns = [column for each in by for column in _UPTIME_COLUMNS[each]]
    owner, owners = _owned_by("n", wanted)
    rows = snapshot.rows(
        f"SELECT {', '.join(columns)}, SUM(u.seconds) FROM node_uptime u LEFT JOIN node n ON n.id = u.node_id "  # noqa: S608
        f"WHERE u.hour BETWEEN ? AND ?{owner} GROUP BY {', '.join(columns)} LIMIT {MAX_ROWS + 1}",
        wanted.first_hour,
        wanted.last_hour,
        *owners,
    )
    return {tuple(row[:-1]): int(row[-1]) for row in rows}


def _owned_by(table: str, wanted: Filter) -> Condition:
    """Returns a condition on the owners as the table has them."""
    organisation, key = f"{table}.organisation_id", f"{table}.owner_key_id"
    given = (
        Condition(f" AND {organisation} = ?", (wanted.organisation_id,))
        if wanted.organisation_id
        else Condition("", ())
    )
    if wanted.within is None:
        return given
    within = wanted.within.of_columns(organisation, key)
    return Condition(given.sql + within.sql, given.arguments + within.arguments)
