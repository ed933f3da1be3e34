"""The running and waiting requests of this gateway, as operators see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from trunkline_proto.admin.v1 import requests_pb2 as admin
from trunkline_proto.requests.v1 import requests_pb2 as pb

from translator import log_context
from translator.ledger.lines import decoded
from translator.limits import Reservation
from translator.queueing import Forecast
from translator.running.progress import Progress
from translator.waiting import Waiter

_MICRO = 1_000_000
_QUEUED, _RUNNING = admin.REQUEST_STATE_QUEUED, admin.REQUEST_STATE_RUNNING


class Reservations(Protocol):
    """Knows what the running requests have reserved."""

    @property
    def reservations(self) -> list[Reservation]:
        """The outstanding reservations, oldest first."""

    def reservation(self, request_id: str) -> Reservation | None:
        """Returns the reservation of a request; None if it has none."""


class Room(Protocol):
    """Knows the waiting requests."""

    def positions(self) -> Iterator[tuple[Waiter, float, Forecast]]:
        """Yields each waiting request with the seconds that it has waited and its forecast."""

    def cancel(self, request_id: str) -> bool:
        """Refuses a waiting request. Returns whether there was one with this id."""


class Commander(Protocol):
    """Knows what Envoy runs."""

    async def report(self) -> Sequence[Progress] | None:
        """Returns the running requests; None if no Envoy is connected."""

    async def cancel(self, request_id: str) -> Progress | None:
        """Cancels a running request and returns its progress; None if no Envoy runs it."""


class Quotas(Protocol):
    """Knows which targets and credentials rest, and the remaining quotas."""

    async def report(self) -> pb.Standing:
        """Returns the quotas and rests that Envoy reports."""

    async def take(self, sharing: pb.Sharing) -> pb.Standing:
        """Passes this gateway's shares and the others' pauses to Envoy, and returns the quotas and rests
        afterwards.
        """


class _Running(NamedTuple):
    reservation: Reservation
    progress: Progress | None


class Listings:
    """Answers inquiries. `name` is the translator's; `clock` gives Unix seconds."""

    def __init__(
        self,
        name: str,
        reservations: Reservations,
        room: Room,
        commander: Commander,
        quotas: Quotas,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._reservations = reservations
        self._room = room
        self._commander = commander
        self._quotas = quotas
        self._clock = clock

    async def answer(self, inquiry: pb.AttendResponse) -> pb.AttendRequest:
        """Answers one inquiry."""
        if inquiry.WhichOneof("inquiry") == "cancel":
            cancelled = await self._cancel(inquiry.cancel)
            return pb.AttendRequest(number=inquiry.number, requests=[cancelled] if cancelled is not None else ())
        if inquiry.WhichOneof("inquiry") == "standing":
            return pb.AttendRequest(number=inquiry.number, standing=await self._quotas.report())
        if inquiry.WhichOneof("inquiry") == "sharing":
            return pb.AttendRequest(number=inquiry.number, standing=await self._quotas.take(inquiry.sharing))
        answer = await self._list(inquiry.list)
        answer.number = inquiry.number
        return answer

    async def _list(self, wanted: pb.Listing) -> pb.AttendRequest:
        answer = pb.AttendRequest(is_within=wanted.HasField("within"))
        seen = _seen(wanted)
        if wanted.state != _QUEUED:
            running = [
                each
                for each in await self._running()
                if seen(each.reservation.organisation, each.reservation.key) and _is_wanted(wanted, each)
            ]
            answer.running = len(running)
            running.sort(key=lambda each: each.reservation.at)  # Envoys tell of theirs one after the other
            answer.requests.extend(map(self._shown, running[: wanted.limit]))
        if wanted.state != _RUNNING:
            waiting = [
                each
                for each in self._room.positions()
                if seen(each[0].flow.organisation, each[0].flow.key) and _waits_wanted(wanted, each[0])
            ]
            answer.queued = len(waiting)
            waiting.sort(key=lambda each: each[1], reverse=True)
            answer.requests.extend(self._shown_waiting(*each) for each in islice(waiting, wanted.limit))
        return answer

    async def _running(self) -> Iterable[_Running]:
        """Returns the requests that Envoy reports; without a report, those that hold reservations."""
        progress = await self._commander.report()
        if progress is None:
            return [_Running(each, None) for each in self._reservations.reservations]
        found = []
        for each in progress:
            # A stream may outlast its reservation.
            reservation = self._reservations.reservation(each.request_id) or log_context.read(each.log_context)
            if reservation is not None:
                found.append(_Running(reservation, each))
        return found

    async def _cancel(self, request_id: str) -> admin.RunningRequest | None:
        for waiter, seconds, forecast in self._room.positions():
            if waiter.about.request_id == request_id:
                self._room.cancel(request_id)
                return self._shown_waiting(waiter, seconds, forecast)
        progress = await self._commander.cancel(request_id)
        if progress is None:
            return None
        reservation = self._reservations.reservation(request_id) or log_context.read(progress.log_context)
        return self._shown(_Running(reservation, progress)) if reservation is not None else None

    def _shown(self, running: _Running) -> admin.RunningRequest:
        reservation, progress = running
        shown = admin.RunningRequest(
            id=reservation.id,
            state=_RUNNING,
            organisation=reservation.organisation,
            key_id=reservation.key,
            model=reservation.model,
            stream=reservation.stream,
            end_user=decoded(reservation.user),
            tag=decoded(reservation.tag),
            started_at_us=round(reservation.at * _MICRO),
            elapsed_us=max(0, round((self._clock() - reservation.at) * _MICRO)),
            reserved_prompt_tokens=reservation.prompt,
            reserved_completion_tokens=max(0, reservation.tokens - reservation.prompt),
            reserved_cost_nano_usd=reservation.cost,
            translator=self._name,
        )
        if progress is not None:
            shown.target_id, shown.attempt = progress.target, progress.attempts
            shown.events, shown.event_bytes = progress.events, progress.event_bytes
        return shown

    def _shown_waiting(self, waiter: Waiter, seconds: float, forecast: Forecast) -> admin.RunningRequest:
        about = waiter.about
        return admin.RunningRequest(
            id=about.request_id,
            state=_QUEUED,
            organisation=waiter.flow.organisation,
            key_id=waiter.flow.key,
            model=waiter.route.model,
            stream=about.stream,
            end_user=decoded(about.user),
            tag=decoded(about.tag),
            started_at_us=round((self._clock() - seconds) * _MICRO),
            elapsed_us=round(seconds * _MICRO),
            position=forecast.position,
            expected_wait_us=round((forecast.seconds or 0.0) * _MICRO),
            translator=self._name,
        )


def _seen(wanted: pb.Listing) -> Callable[[str, str], bool]:
    """Returns whether the caller may see a request, by the ids of its organisation and key."""
    if not wanted.HasField("within"):
        return lambda organisation, key: True
    organisations, keys = set(wanted.within.organisation_ids), set(wanted.within.key_ids)
    return lambda organisation, key: organisation in organisations or key in keys


def _is_wanted(wanted: pb.Listing, running: _Running) -> bool:
    reservation, filter_ = running.reservation, wanted.filter
    return (
        reservation.id.startswith(wanted.id_prefix)
        and filter_.organisation in {"", reservation.organisation}
        and filter_.key_id in {"", reservation.key}
        and filter_.model in {"", reservation.model}
        and (
            not filter_.target_id
            or (running.progress is not None and filter_.target_id == running.progress.target)
        )
        and (not filter_.tag or filter_.tag == decoded(reservation.tag))
        and (not filter_.end_user or filter_.end_user == decoded(reservation.user))
    )


def _waits_wanted(wanted: pb.Listing, waiter: Waiter) -> bool:
    about, filter_ = waiter.about, wanted.filter
    return (
        about.request_id.startswith(wanted.id_prefix)
        and filter_.organisation in {"", waiter.flow.organisation}
        and filter_.key_id in {"", waiter.flow.key}
        and filter_.model in {"", waiter.route.model}
        and not filter_.target_id
        and filter_.tag in {"", decoded(about.tag)}
        and filter_.end_user in {"", decoded(about.user)}
    )
