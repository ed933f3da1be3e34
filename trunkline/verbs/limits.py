"""`trunkline limits`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline import changes, holders
from trunkline.client import Control, change_options, control_options
from trunkline.config import document, export, limit_text, model
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.holders import Holder, HolderFlag
from trunkline.output import output_option, render
from trunkline.parameters import LimitFlag, LimitName
from trunkline.text import say

_COLUMNS = (
    "holder",
    "metric",
    "per",
    "time_zone",
    "model",
    "amount",
    "managed_by",
    "each",
    "alerts",
    "soft",
    "used",
    "values",
)
#: Columns for people, in the syntax of `limits set`.
_SHORT = ("holder", "limit", "use", "managed_by")


@click.group(cls=SuggestingGroup)
def limits() -> None:
    """Show and change the limits of organisations, keys and routes.

    A limit is METRIC[/WINDOW[/TIME_ZONE]][:EACH][@MODEL]=AMOUNT[,alerts=SHARE/…][,soft]. METRIC is requests,
    tokens, cost_usd (in USD) or concurrency, which has no window. WINDOW is a duration (60s, 1h, 30d) or day, week
    or month, in TIME_ZONE or UTC. With :user or :tag, every end user or every x-trunkline-tag has the full AMOUNT.
    With @MODEL, only an organisation's or key's requests for that model count. An alert is sent at each SHARE of
    the AMOUNT (0.8 for 80 %). A soft limit refuses nothing.
    """


@limits.command(
    "list",
    epilog="""\b
Examples:
  trunkline limits list
  trunkline limits list --output csv
""",
)
@output_option
@control_options
def list_limits(*, control: Control, output: str) -> None:
    """List the limits of all organisations, keys and routes in the syntax of `limits set`, and how much of each is
    used or reserved; json and csv have the parts of a limit.

    Each translator counts for itself; the highest count is shown. With :user or :tag, the end user or tag with the
    highest count is shown, and the number of them. USE is empty if nothing is counted.
    """
    with control.connect() as api:
        found = holders.every(api)
        uses = _uses(api)
    used = {(each.holder, limit_text.name(each.limit)): each for each in uses}
    rows = [
        _row(holder, each, used.get((str(holder), limit_text.name(each))))
        for holder, held in found
        for each in held
    ]
    say(render(rows, _SHORT if output == "table" else _COLUMNS, output), lines=True)


@limits.command(
    "set",
    epilog="""\b
Examples:
  trunkline limits set org:acme cost_usd/month/Europe/Berlin=500 requests/60s=600
  trunkline limits set key:acme/ci tokens/60s@gpt-4.1=100000
  trunkline limits set route:gpt-4.1 concurrency=20
  trunkline limits set key:acme/app cost_usd/day:user=2,alerts=0.8/1
  trunkline limits set key:acme/agents cost_usd/day:tag=5
  trunkline limits set org:acme cost_usd/month=1000,alerts=0.5/0.8/1,soft
""",
)
@click.argument("holder", type=HolderFlag(), metavar="HOLDER")
@click.argument("given", type=LimitFlag(), metavar="LIMIT...", nargs=-1, required=True)
@change_options
def set_limits(*, control: Control, holder: Holder, given: tuple[model.LimitSpec, ...]) -> None:
    """Add each LIMIT to the HOLDER, in place of its limit of the same metric, window, model and EACH."""
    wanted = {limit_text.name(each): each for each in map(document.limit, given)}
    before: dict[str, policy.Limit] = {}

    def edit(stored: Sequence[policy.Limit]) -> Iterable[policy.Limit]:
        before.update({limit_text.name(each): each for each in stored})
        return (before | wanted).values()

    with control.connect() as api:
        answer = holders.change(api, holder, edit)
    for name, each in wanted.items():
        say(_changed(holder, before.get(name), each))
    changes.report(answer.propagation, answer.warnings)


@limits.command(
    epilog="""\b
Examples:
  trunkline limits remove org:acme cost_usd/month/Europe/Berlin
  trunkline limits remove key:acme/ci tokens/60s@gpt-4.1
  trunkline limits remove route:gpt-4.1 --all
"""
)
@click.argument("holder", type=HolderFlag(), metavar="HOLDER")
@click.argument("given", type=LimitName(), metavar="LIMIT...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All limits of the holder.")
@change_options
def remove(*, control: Control, holder: Holder, given: tuple[model.LimitSpec, ...], everything: bool) -> None:
    """Remove each LIMIT, named without its amount, from the HOLDER."""
    if bool(given) == everything:
        raise UsageError("name the limits to remove, such as requests/60s, or give --all")
    names = {limit_text.name(document.limit(each)) for each in given}
    removed: list[policy.Limit] = []

    def edit(stored: Sequence[policy.Limit]) -> Iterable[policy.Limit]:
        there = {limit_text.name(each): each for each in stored}
        if missing := sorted(names - there.keys()):
            has = ", ".join(there) or "none"
            raise UsageError(f"{holder} has no limit {', '.join(missing)}; it has: {has}")
        removed.extend(each for name, each in there.items() if everything or name in names)
        return [each for each in stored if each not in removed]

    with control.connect() as api:
        answer = holders.change(api, holder, edit)
    for each in removed:
        say(f"- {holder} {limit_text.text(each)}")
    changes.report(answer.propagation, answer.warnings)


def _changed(holder: Holder, before: policy.Limit | None, after: policy.Limit) -> str:
    new = limit_text.text(after)
    if before is None:
        return f"+ {holder} {new}"
    old = limit_text.text(before)
    return f"= {holder} {new}" if old == new else f"~ {holder} {old} -> {new}"


def _uses(api: AdminStub) -> Sequence[admin.LimitUse]:
    """Returns the uses of limits; None for callers who may not see the whole installation."""
    try:
        return api.ListLimitUses(admin.ListLimitUsesRequest()).uses
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            return ()
        raise


def _use(use: admin.LimitUse) -> str:
    amount = use.limit.amount
    share = f" ({use.taken / amount:.0%})" if amount else ""
    one = "user" if use.limit.each == policy.EACH_USER else "tag"
    values = f", of {use.values} {one}{'' if use.values == 1 else 's'}" if use.limit.each else ""
    return f"{limit_text.amount(use.limit, use.taken)}{share}{values}"


def _row(holder: Holder, limit: policy.Limit, use: admin.LimitUse | None) -> dict[str, Any]:
    """Returns the parts of a limit, the whole as `limit`, and how much of it is used."""
    (parts,) = export.limits([limit])
    amount = f"{parts['amount']:f}"
    whole = limit_text.text(limit)
    return {
        **dict.fromkeys(_COLUMNS),
        **parts,
        "holder": str(holder),
        "amount": amount,
        "alerts": "/".join(f"{share:f}" for share in parts.get("alerts", ())) or None,
        "used": limit_text.amount(limit, use.taken) if use is not None else None,
        "values": use.values if use is not None and limit.each else None,
        "use": _use(use) if use is not None else None,
        "limit": whole,
        "managed_by": limit.managed_by,
    }
