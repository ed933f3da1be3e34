"""The part of the Admin service for single requests: those that run or wait, and those that have ended."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.accounts.caller import current
from xds_server.admin import attempts, values
from xds_server.admin.calls import Changes, actor_of
from xds_server.admin.ports import RunningRequests
from xds_server.admin.problems import Problems, checking
from xds_server.admin.usage import UsageMethods
from xds_server.errors import InvalidFieldError, NotFoundError
from xds_server.ledger import outcomes, search
from xds_server.ledger.outcomes import Outcomes
from xds_server.ledger.query import Filter
from xds_server.ledger.requests import Cursor
from xds_server.ledger.search import Search
from xds_server.rpc.reporting import reporting
from xds_server.store.records import Action, ObjectType
from xds_server.usage import records
from xds_server.usage.records import Row

if TYPE_CHECKING:
    from xds_server.store.views import View
    from xds_server.store.writing.transaction import Transaction

_LISTED, _MAX_LISTED = 200, 10_000
_PAGE, _MAX_PAGE = 100, 1_000
_MIN_ID, _MAX_ID = 4, 128
#: Seconds that one page of a search may take, and the search for one request.
_PAGE_SECONDS, _FIND_SECONDS = 0.4, 20.0
_STATUS = re.compile(r"[1-5]xx|[1-5]\d\d")
_OUTCOMES = {
    "": outcomes.ANY,
    "failed": outcomes.FAILED,
    "cancelled": outcomes.of(outcomes.CANCELLED),
    "expired": outcomes.of(outcomes.EXPIRED),
}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class RequestMethods(UsageMethods):
    """Asks translators for running requests, and the ledger for those that have ended."""

    _changes: Changes
    _running: RunningRequests

    @reporting
    async def ListRequests(self, request: pb.ListRequestsRequest, context: Context) -> pb.ListRequestsResponse:
        """Returns running and waiting requests of the translators that are connected here, as far as the caller
        sees them.
        """
        with checking() as problems:
            values.number(request.limit, 0, _MAX_LISTED, f"(0 = {_LISTED})", problems.at("limit"))
            if request.state not in pb.RequestState.values():
                problems.at("state").note("accepted: REQUEST_STATE_QUEUED, REQUEST_STATE_RUNNING")
        return await self._running.listed(request.filter, request.state, request.limit or _LISTED, current().reads)

    @reporting
    async def SearchRequests(
        self, request: pb.SearchRequestsRequest, context: Context
    ) -> pb.SearchRequestsResponse:
        """Returns a page of ended requests. A search that takes too long returns what it has found, with a token
        to go on.
        """
        with checking() as problems:
            values.number(request.page_size, 0, _MAX_PAGE, f"(0 = {_PAGE})", problems.at("page_size"))
            ended = _outcomes(request.status, problems.at("status"))
            if request.id:
                _check_id(request.id, problems.at("id"))
            before = _cursor(request.page_token, problems.at("page_token"))
        wanted = request.filter
        usage = pb.UsageFilter(
            since=request.since,
            until=request.until,
            organisation=wanted.organisation,
            key_id=wanted.key_id,
            model=wanted.model,
            target_id=wanted.target_id,
            tag=wanted.tag,
        )
        found, after = await self._ledger.search(
            Search(await self._filter(usage), request.id, wanted.end_user, ended),
            before,
            request.page_size or _PAGE,
            _PAGE_SECONDS,
        )
        return pb.SearchRequestsResponse(
            requests=await self._finished(found),
            next_page_token=f"{after.started_at_us}:{after.id}" if after is not None else "",
            searched_since_us=after.started_at_us if after is not None else 0,
        )

    @reporting
    async def GetRequest(self, request: pb.GetRequestRequest, context: Context) -> pb.GetRequestResponse:
        """Explains one request, running or ended. Raises InvalidFieldError if several ids begin as given."""
        with checking() as problems:
            _check_id(request.id, problems.at("id"))
        caller = current()
        running = await self._running.find(request.id, caller.reads)
        if running is not None and caller.sees(running.organisation, running.key_id):
            return pb.GetRequestResponse(running=running, attempts=attempts.of_running(running))
        found, _ = await self._ledger.search(
            Search(Filter(within=caller.reads), request.id), search.NEWEST, 2, _FIND_SECONDS
        )
        if not found:
            raise NotFoundError(
                f"no request {values.quoted(request.id)} is running, and the ledger has none that begins so; one "
                "that was refused has no record, one that has just ended has none yet"
            )
        if len({row.id for row in found}) > 1:
            raise InvalidFieldError(
                [f"id: several requests begin with {values.quoted(request.id)}; send more of it"]
            )
        (finished,) = await self._finished(found[:1])
        route = (await self._store.load()).routes.get(found[0].route_id)
        return pb.GetRequestResponse(
            finished=finished,
            attempts=attempts.of_finished(found[0]),
            costs=attempts.costs(found[0], route),
        )

    @reporting
    async def CancelRequest(self, request: pb.CancelRequestRequest, context: Context) -> pb.CancelRequestResponse:
        """Cancels a request and records it in the audit log. One that the caller may not cancel is reported as
        nonexistent.
        """
        with checking() as problems:
            _check_id(request.id, problems.at("id"))
        actor = actor_of(context)
        caller = current()
        running = await self._running.find(request.id, caller.reads) if not caller.is_admin else None
        is_hidden = running is None or not caller.changes(running.organisation, running.key_id)
        cancelled = None if is_hidden and not caller.is_admin else await self._running.cancel(request.id)
        if cancelled is None:
            raise NotFoundError(f"no request {values.quoted(request.id)} is running or waiting")
        await self._changes.write(actor, lambda transaction: note_cancelled(transaction, cancelled))
        return pb.CancelRequestResponse(request=cancelled)

    async def _finished(self, rows: list[Row]) -> list[pb.FinishedRequest]:
        organisations, keys = await self._ledger.names() if rows else ({}, {})
        return [
            pb.FinishedRequest(
                record=records.record(row),
                organisation=organisations.get(row.organisation_id, row.organisation_id),
                key=keys.get(row.key_id, row.key_id),
            )
            for row in rows
        ]


def note_cancelled(transaction: Transaction, cancelled: pb.RunningRequest) -> None:
    """Writes an audit event and nothing else: requests are not part of the desired state."""
    state = pb.RequestState.Name(cancelled.state).removeprefix("REQUEST_STATE_").lower()
    before: View = {
        "state": state,
        "organisation": cancelled.organisation,
        "key": cancelled.key,
        "model": cancelled.model,
        "target": cancelled.target_id,
    }
    # Of an organisation that was deleted meanwhile, only admins read it.
    owner = transaction.organisation_ids.get(cancelled.organisation, "")
    transaction.record(Action.CANCEL, ObjectType.REQUEST, cancelled.id, before, None, organisation_id=owner)


def _check_id(text: str, problems: Problems) -> None:
    if not _MIN_ID <= len(text) <= _MAX_ID or not text.isprintable():
        problems.note(f"{values.quoted(text)} is not an id; accepted: {_MIN_ID} to {_MAX_ID} printable characters")


def _cursor(token: str, problems: Problems) -> Cursor:
    if not token:
        return search.NEWEST
    at, separator, id_ = token.partition(":")
    if separator and at.isascii() and at.isdecimal() and len(at) <= len(str(search.NEWEST.started_at_us)):
        return Cursor(int(at), id_)
    problems.note("accepted: `next_page_token` of the page before")
    return search.NEWEST


def _outcomes(word: str, problems: Problems) -> Outcomes:
    """Parses the `status` filter."""
    if word in _OUTCOMES:
        return _OUTCOMES[word]
    if _STATUS.fullmatch(word) is None:
        problems.note(
            f"{values.quoted(word)} is not known; accepted: failed, cancelled, expired, a status such as "
            "429, or a class such as 5xx"
        )
        return outcomes.ANY
    if word.endswith("xx"):
        first = int(word[0]) * 100
        return Outcomes((range(first, first + 100),))
    return outcomes.of(int(word))
