"""`trunkline usage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub
from trunkline_proto.admin.words import DIMENSIONS, ORDERS
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from trunkline import completion, names, progress, usage_files
from trunkline.client import Control, control_options
from trunkline.groups import SuggestingGroup
from trunkline.output import is_wide, output_option, render
from trunkline.parameters import Names
from trunkline.text import say
from trunkline.timestamps import Timestamp
from trunkline.usage_rows import (
    SUM_COLUMNS,
    comparison_row,
    filled,
    record_row,
    refused_row,
    report_row,
    request_row,
    set_aside,
)

#: An organisation is `org` on the command line.
_DIMENSIONS = {{"organisation": "org"}.get(word, word): number for word, number in DIMENSIONS.items()}
_REQUEST = (
    "at", "id", "org", "key", "model", "target", "status", "attempts", "prompt", "completion", "cost_usd",
    "first_byte", "duration", "tag", "capped", "claimed_prompt", "claimed_completion", "service_tier",
    "upstream_request_id",
)  # fmt: skip
_COMPARISON = (
    "target", "requests", "usd_per_million", "first_byte_p50", "first_byte_p95", "tokens_per_second",
    "error_percent", "retry_percent",
)  # fmt: skip
#: Those that a narrow terminal keeps longest.
_IMPORTANT_REQUEST = ("model", "cost_usd", "duration", "status", "key", "target", "at")
_IMPORTANT_SUMS = ("cost_usd", "requests", "prompt", "completion", "errors")
_REFUSED = ("refused_at", "source", "id", "model", "field", "reason")
_NUMBERS = {
    *SUM_COLUMNS,
    *_COMPARISON[1:],
    "status",
    "attempts",
    "first_byte",
    "duration",
    "claimed_prompt",
    "claimed_completion",
}


def filter_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the flags that filter requests, and passes `wanted` to the command."""

    def with_filter(
        *, since: int, until: int | None, org: str, key: str, model: str, target: str, tag: str, **given: Any
    ) -> Any:
        wanted = admin.UsageFilter(
            since=since, until=until or 0, organisation=org, key_id=key, model=model, target_id=target, tag=tag
        )
        return verb(wanted=wanted, **given)

    with_filter.__doc__ = verb.__doc__
    with_filter.__name__ = verb.__name__
    with_filter.__click_params__ = list(getattr(verb, "__click_params__", ()))  # type: ignore[attr-defined]
    decorated: Callable[..., Any] = with_filter
    for option in reversed(
        (
            click.option(
                "--since",
                type=Timestamp(),
                default="24h",
                show_default=True,
                help="How long ago (7d), or a date (UTC).",
            ),
            click.option(
                "--until", type=Timestamp(), default=None, help="The end, in the same form.  [default: now]"
            ),
            click.option(
                "--org",
                shell_complete=completion.ORGS,
                default="",
                help="Only requests of this organisation, by name; for a deleted one by id.",
            ),
            click.option(
                "--key",
                shell_complete=completion.KEYS,
                default="",
                help="Only requests with this API key: ORG/NAME, NAME or public id.",
            ),
            click.option(
                "--model", shell_complete=completion.ROUTES, default="", help="Only requests for this model."
            ),
            click.option("--target", default="", help="Only requests that this target answered."),
            click.option("--tag", default="", help="Only requests with this x-trunkline-tag."),
        )
    ):
        decorated = option(decorated)
    return decorated


@click.group(cls=SuggestingGroup)
def usage() -> None:
    """Report usage and cost: report, top, compare, export, refused."""


@usage.command(
    epilog="""\b
Examples:
  trunkline usage report
  trunkline usage report --by route,target --since 7d
  trunkline usage report --by day,org --since 2026-11-01 --until 2026-12-01 --output csv
  trunkline usage report --by tag --org acme --model gpt-4.1 --output json
"""
)
@click.option(
    "--by", type=Names(_DIMENSIONS), default="model", show_default=True, help=f"Any of {', '.join(_DIMENSIONS)}."
)
@filter_options
@output_option
@control_options
def report(*, control: Control, wanted: admin.UsageFilter, by: tuple[str, ...], output: str) -> None:
    """Report sums of requests, tokens and cost; tables have a line of totals.

    By time if --by has hour or day, otherwise the highest cost first. Whole hours: --since and --until are rounded
    outward. Tokens of `cached` are part of `prompt`, and `cached_percent` is their share; those of `reasoning` are
    part of `completion`.
    """
    with control.connect() as api:
        wanted.key_id = _key(api, wanted)
        request = admin.ReportUsageRequest(filter=wanted, by=[_DIMENSIONS[each] for each in by])
        answer = api.ReportUsage(request)
        rows = [report_row(each, by) for each in answer.rows]
        if output == "table" and by and rows:
            (totals,) = api.ReportUsage(admin.ReportUsageRequest(filter=wanted)).rows
            rows.append({**dict.fromkeys(by, ""), by[0]: "total", **report_row(totals, ())})
    columns: Sequence[str] = (*by, *SUM_COLUMNS)
    if output == "table" and not is_wide():
        columns = filled(columns, rows)
    say(render(rows, columns, output, right=_NUMBERS, important=(*by, *_IMPORTANT_SUMS)), lines=True)
    if answer.refused_records:
        say(set_aside(answer.refused_records), err=True)


@usage.command(
    epilog="""\b
Examples:
  trunkline usage top
  trunkline usage top --order duration --limit 50 --since 1h --model gpt-4.1
"""
)
@click.option("--order", type=click.Choice(list(ORDERS)), default="cost", show_default=True, help="The order.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of rows."
)
@filter_options
@output_option
@control_options
def top(*, control: Control, wanted: admin.UsageFilter, order: str, limit: int, output: str) -> None:
    """List the heaviest single requests.

    json and csv have durations in microseconds, and ids where the table has names.
    """
    with control.connect() as api:
        wanted.key_id = _key(api, wanted)
        request = admin.TopRequestsRequest(filter=wanted, order=ORDERS[order], limit=limit)
        found = api.TopRequests(request).records
        labels = _labels(api, found) if output == "table" else {}
    rows = [request_row(each, readable=output == "table", labels=labels) for each in found]
    columns = filled(_REQUEST, rows) if output == "table" and not is_wide() else _REQUEST
    say(render(rows, columns, output, right=_NUMBERS, important=_IMPORTANT_REQUEST), lines=True)


@usage.command(
    epilog="""\b
Examples:
  trunkline usage compare --model gpt-4.1
  trunkline usage compare --model gpt-4.1 --since 7d --output json
"""
)
@filter_options
@output_option
@control_options
def compare(*, control: Control, wanted: admin.UsageFilter, output: str) -> None:
    """Compare the targets of one route (--model).

    What a million tokens really cost, the time to the first byte (half and 95 % of the requests had it sooner;
    within 5 %), the speed of answering, the share of requests that ended in an error, and the share of attempts
    that failed here and went on to another target. json and csv have durations in microseconds.
    """
    if not wanted.model:
        raise click.UsageError("say which route with --model")
    with control.connect() as api:
        wanted.key_id = _key(api, wanted)
        found = api.CompareTargets(admin.CompareTargetsRequest(filter=wanted)).targets
    rows = [comparison_row(each, readable=output == "table") for each in found]
    say(render(rows, _COMPARISON, output, right=_NUMBERS), lines=True)


@usage.command(
    epilog="""\b
Examples:
  trunkline usage export --since 24h > usage.jsonl
  trunkline usage export --since 2026-11-01 --until 2026-12-01 --format csv --file november.csv
  trunkline usage export --since 30d --format parquet --file usage.parquet
"""
)
@click.option(
    "--format", "form", type=click.Choice(["json", "csv", "parquet"]), default="json", show_default=True,
    help="json has one object per line.",
)  # fmt: skip
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), default=None, help="[default: stdout]")
@filter_options
@control_options
def export(*, control: Control, wanted: admin.UsageFilter, form: str, file: Path | None) -> None:
    """Export single requests, oldest first, as stored: microseconds, nano-USD and, rounded, micro-USD."""
    with control.connect() as api:
        wanted.key_id = _key(api, wanted)

        def pages() -> Iterator[usage_files.Rows]:
            for page in api.ExportUsage(admin.ExportUsageRequest(filter=wanted)):
                yield [record_row(each) for each in page.records]

        def total() -> int:
            """Returns the number of requests in whole hours, which may be slightly more than are exported."""
            return sum(row.requests for row in api.ReportUsage(admin.ReportUsageRequest(filter=wanted)).rows)

        written = usage_files.write(progress.shown(pages(), total, "records"), form, file)
    say(f"{written:,} records{f' in {file}' if file else ''}", err=True)


@usage.command(
    epilog="""\b
Examples:
  trunkline usage refused
  trunkline usage refused --limit 1000 --output json > refused.json
"""
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Maximum number of rows."
)
@output_option
@control_options
def refused(*, control: Control, limit: int, output: str) -> None:
    """List records that could not be stored, newest first, with the reasons.

    They are not included in the figures of other commands. json has each record in full.
    """
    with control.connect() as api:
        found = api.ListRefusedUsage(admin.ListRefusedUsageRequest(limit=limit))
    rows = [refused_row(each, readable=output != "json") for each in found.records]
    say(render(rows, (*_REFUSED, "record") if output == "json" else _REFUSED, output), lines=True)
    if found.total > len(rows):
        say(f"{found.total:,} in all", err=True)


def _key(api: AdminStub, wanted: admin.UsageFilter) -> str:
    """The public id of the key that --key names; empty for all keys."""
    return names.key_id(api, wanted.key_id, revoked=True) if wanted.key_id else ""


def _labels(api: AdminStub, found: Sequence[ledger.UsageRecord]) -> dict[str, str]:
    """The names of the organisations and keys of these requests, by their ids."""
    if not found:
        return {}
    stored = api.ListOrganisations(admin.ListOrganisationsRequest()).organisations
    return {each.id: each.name for each in stored} | names.key_labels(api, {each.key_id for each in found})
