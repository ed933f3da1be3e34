"""Collects what all connected translators report about running and waiting requests, for the Admin service."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.requests.v1 import requests_pb2 as pb

from xds_server.errors import InvalidFieldError, NotFoundError
from xds_server.model import DesiredState
from xds_server.requests.attending import InquiryAnswers, Translators
from xds_server.store import AsyncStore
from xds_server.usage.scope import Within


class RunningRequests:
    """Implements `xds_server.admin.ports.RunningRequests`."""

    def __init__(self, store: AsyncStore, translators: Translators) -> None:
        self._store = store
        self._translators = translators

    async def listed(
        self,
        wanted: admin.RequestFilter,
        state: admin.RequestState.ValueType,
        limit: int,
        within: Within | None = None,
    ) -> admin.ListRequestsResponse:
        """Returns the requests that the caller may see: those of `within`, or all if it is None.

        Raises NotFoundError for an unknown organisation.
        """
        known = await self._store.load()
        listing = pb.Listing(filter=wanted, state=state, limit=limit)
        if wanted.organisation:
            listing.filter.organisation = _organisation_id(known, wanted.organisation)
        answers = await self._list(listing, within)
        return admin.ListRequestsResponse(
            requests=_named(known, _oldest(answers, limit)),
            running=sum(answer.running for _, answer in answers.given),
            queued=sum(answer.queued for _, answer in answers.given),
            silent=answers.silent,
        )

    async def find(self, id_prefix: str, within: Within | None = None) -> admin.RunningRequest | None:
        """Returns the request of `within` whose id begins with `id_prefix`.

        Raises InvalidFieldError if there are several.
        """
        found = _oldest(await self._list(pb.Listing(id_prefix=id_prefix, limit=2), within), 2)
        if len({each.id for each in found}) > 1:
            raise InvalidFieldError([f'id: several requests begin with "{id_prefix}"; send more of it'])
        return next(iter(_named(await self._store.load(), found)), None)

    async def cancel(self, request_id: str) -> admin.RunningRequest | None:
        """Cancels a request and returns it; None if no translator has it."""
        answers = await self._translators.ask(pb.AttendResponse(cancel=request_id))
        return next(iter(_named(await self._store.load(), _oldest(answers, 1))), None)

    async def _list(self, listing: pb.Listing, within: Within | None) -> InquiryAnswers:
        if within is None:
            return await self._translators.ask(pb.AttendResponse(list=listing))
        listing.within.CopyFrom(pb.Within(organisation_ids=within.organisation_ids, key_ids=within.key_ids))
        answers = await self._translators.ask(pb.AttendResponse(list=listing))
        return InquiryAnswers([(name, _narrowed(each, within)) for name, each in answers.given], answers.silent)


def _narrowed(answer: pb.AttendRequest, within: Within) -> pb.AttendRequest:
    """Returns what the caller may see of an answer: translators of an earlier version do not select it."""
    if answer.is_within:
        return answer
    seen = [each for each in answer.requests if within.has(each.organisation, each.key_id)]
    queued = sum(each.state == admin.REQUEST_STATE_QUEUED for each in seen)
    return pb.AttendRequest(requests=seen, running=len(seen) - queued, queued=queued)


def _oldest(answers: InquiryAnswers, limit: int) -> list[admin.RunningRequest]:
    found = [each for _, answer in answers.given for each in answer.requests]
    return heapq.nsmallest(limit, found, key=lambda each: each.started_at_us)


def _named(known: DesiredState, requests: Iterable[admin.RunningRequest]) -> list[admin.RunningRequest]:
    """Returns the requests with the names of organisations and keys in place of their ids."""
    named = list(requests)
    for each in named:
        organisation, key = known.organisations.get(each.organisation), known.keys.get(each.key_id)
        if organisation is not None:
            each.organisation = organisation.name
        each.key = f"{each.organisation}/{key.name}" if key is not None else each.key_id
    return named


def _organisation_id(known: DesiredState, name: str) -> str:
    for id_, organisation in known.organisations.items():
        if organisation.name == name:
            return id_
    names = ", ".join(sorted(each.name for each in known.organisations.values()))
    raise NotFoundError(f'filter.organisation: no organisation "{name}"; known: {names}')
