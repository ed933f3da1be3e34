"""`trunkline requests`."""

from __future__ import annotations

from collections.abc import Iterator

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render, render_fields
from trunkline.request_rows import (
    ATTEMPTS,
    COSTS,
    FINISHED,
    IMPORTANT_FINISHED,
    IMPORTANT_RUNNING,
    NUMBERS,
    RUNNING,
    attempt_rows,
    cost_rows,
    finished_row,
    running_row,
    whole,
)
from trunkline.text import as_json, say
from trunkline.timestamps import Timestamp

_STATES = {"queued": admin.REQUEST_STATE_QUEUED, "running": admin.REQUEST_STATE_RUNNING}
_MOST = 10_000
_PAGE = 1_000


@click.group(cls=SuggestingGroup)
def requests() -> None:
    """List, show and cancel single requests of clients. Prompts and answers are never shown.

    An ID is the one in the client's header `x-request-id`.
    """


@requests.command(
    "list",
    epilog="""\b
Examples:
  trunkline requests list
  trunkline requests list --status queued --model llama3:70b
  trunkline requests list --org acme --output json
  trunkline requests list --finished --status failed --key acme/ci
  trunkline requests list --since 7d --id 3f2a91bc
  trunkline requests list --since 2026-11-01 --until 2026-11-02 --tag nightly --limit 1000 --output csv
""",
)
@click.option(
    "--finished", is_flag=True, help="List requests that have ended, newest first, instead of running ones."
)
@click.option(
    "--since",
    type=Timestamp(),
    default=None,
    help="For ended requests: how long ago, or a date (UTC).  [default: 24h; with --id any time]",
)
@click.option("--until", type=Timestamp(), default=None, help="The end, in the same form.  [default: now]")
@click.option(
    "--id", "id_prefix", default="", help="Ended requests whose id begins with this; at least 4 characters."
)
@click.option(
    "--org", shell_complete=completion.ORGS, default="", help="Only requests of this organisation, by name."
)
@click.option(
    "--key",
    shell_complete=completion.KEYS,
    default="",
    help="Only requests with this API key: ORG/NAME, NAME or public id.",
)
@click.option("--model", shell_complete=completion.ROUTES, default="", help="Only requests for this model.")
@click.option("--target", default="", help="Only requests at this target.")
@click.option("--tag", default="", help="Only requests with this x-trunkline-tag.")
@click.option("--user", default="", help="Only requests with this `user`.")
@click.option(
    "--status",
    default="",
    help="queued or running; for ended requests failed, cancelled, expired, a status (429) or a class (5xx).",
)
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=100, show_default=True, help="Maximum number of rows."
)
@output_option
@control_options
def list_requests(
    *,
    control: Control,
    finished: bool,
    since: int | None,
    until: int | None,
    id_prefix: str,
    org: str,
    key: str,
    model: str,
    target: str,
    tag: str,
    user: str,
    status: str,
    limit: int,
    output: str,
) -> None:
    """List running and waiting requests, oldest first.

    With --finished, --since, --until or --id, list those that have ended, newest first. `tokens` are a stream's
    events so far. json and csv have durations in microseconds.
    """
    ended = finished or since is not None or until is not None or bool(id_prefix)
    if not ended and status and status not in _STATES:
        raise UsageError(
            f"--status {status}: a request that has not ended is queued or running; see also --finished"
        )
    with control.connect() as api:
        wanted = admin.RequestFilter(
            organisation=org,
            key_id=names.key_id(api, key, revoked=True) if key else "",
            model=model,
            target_id=target,
            tag=tag,
            end_user=user,
        )
        if not ended:
            asked = admin.ListRequestsRequest(filter=wanted, limit=limit)
            if status:
                asked.state = _STATES[status]
            _say_running(api.ListRequests(asked), output)
            return
        if since is None:
            since = 0 if id_prefix else Timestamp().convert("24h", None, None)
        search = admin.SearchRequestsRequest(
            filter=wanted, since=since, until=until or 0, id=id_prefix, status=status, page_size=min(limit, _PAGE)
        )
        rows = [finished_row(each, readable=output == "table") for each in _found(api, search, limit)]
    say(render(rows, FINISHED, output, right=NUMBERS, important=IMPORTANT_FINISHED), lines=True)


@requests.command(
    epilog="""\b
Examples:
  trunkline requests show 3f2a91bc
  trunkline requests show 3f2a91bc-7d1e-4b7a-9c55-0f6f3f1a2b4c --output json
"""
)
@click.argument("id", metavar="ID")
@output_option
@control_options
def show(*, control: Control, id: str, output: str) -> None:  # noqa: A002  # as it is called
    """Show one request, running or ended: every attempt and why it moved on, times, tokens, costs.

    ID may be the beginning of an id. The last table has the cost at each target of its route, at the prices of
    that time. csv has only the attempts.
    """
    with control.connect() as api:
        found = api.GetRequest(admin.GetRequestRequest(id=id))
    if output == "json":
        say(as_json(whole(found)), lines=True)
        return
    if output == "table":
        if found.HasField("running"):
            say(render_fields(running_row(found.running, readable=True)), lines=True)
        else:
            say(render_fields(finished_row(found.finished, readable=True)), lines=True)
        say()
    say(render(attempt_rows(found, readable=output == "table"), ATTEMPTS, output, right=NUMBERS), lines=True)
    if output == "table" and found.costs:
        say()
        say(render(cost_rows(found), COSTS, output, right=NUMBERS), lines=True)


@requests.command(
    epilog="""\b
Examples:
  trunkline requests cancel 3f2a91bc-7d1e-4b7a-9c55-0f6f3f1a2b4c
"""
)
@click.argument("id", metavar="ID")
@control_options
def cancel(*, control: Control, id: str) -> None:  # noqa: A002  # as it is called
    """Cancel a running or waiting request.

    Its client gets an error (499 `request_cancelled`) or, in the middle of an answer, a broken stream. The
    target's connection is closed; the answer so far is billed.
    """
    with control.connect() as api:
        cancelled = api.CancelRequest(admin.CancelRequestRequest(id=id)).request
    row = running_row(cancelled, readable=True)
    say(f"cancelled {row['id']}: {row['state']} for {row['elapsed'] or '0 µs'}, {row['model']} of {row['key']}")


def _say_running(answer: admin.ListRequestsResponse, output: str) -> None:
    rows = [running_row(each, readable=output == "table") for each in answer.requests]
    say(render(rows, RUNNING, output, right=NUMBERS, important=IMPORTANT_RUNNING), lines=True)
    if answer.running + answer.queued > len(rows):
        say(f"{answer.running:,} run and {answer.queued:,} wait: --limit shows more", err=True)
    if answer.silent:
        say(f"no answer from {', '.join(answer.silent)}: its requests are missing", err=True)


def _found(api: AdminStub, search: admin.SearchRequestsRequest, limit: int) -> Iterator[admin.FinishedRequest]:
    """Reads page by page: a page with few results says where to continue."""
    while limit > 0:
        page = api.SearchRequests(search)
        yield from page.requests[:limit]
        limit -= len(page.requests)
        search.page_token = page.next_page_token
        if not page.next_page_token:
            return
