"""Keeps the translators that hold a call open, and sends inquiries to all of them. No gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import NamedTuple

from trunkline_proto.requests.v1 import requests_pb2 as pb

#: Seconds for a translator to answer. It waits for its Envoys for at most one second.
PATIENCE = 3.0


class TranslatorCall:
    """One translator's call: the inquiries to send, and the callers that wait for answers. `gateway` is empty for
    a translator of an earlier version.
    """

    def __init__(self, name: str, gateway: str = "") -> None:
        self.name = name
        self.gateway = gateway
        self.inquiries: asyncio.Queue[pb.AttendResponse] = asyncio.Queue()
        self._numbers = count(1)
        self._awaited: dict[int, asyncio.Future[pb.AttendRequest | None]] = {}

    async def ask(self, inquiry: pb.AttendResponse) -> pb.AttendRequest | None:
        """Sends an inquiry and returns the answer; None if the translator leaves first."""
        asked = pb.AttendResponse()
        asked.CopyFrom(inquiry)
        asked.number = next(self._numbers)
        awaited: asyncio.Future[pb.AttendRequest | None] = asyncio.get_running_loop().create_future()
        self._awaited[asked.number] = awaited
        self.inquiries.put_nowait(asked)
        try:
            return await awaited
        finally:
            del self._awaited[asked.number]

    def answered(self, answer: pb.AttendRequest) -> None:
        """Takes an answer. It may be that nobody waits for it any more."""
        awaited = self._awaited.get(answer.number)
        if awaited is not None and not awaited.done():
            awaited.set_result(answer)

    def left(self) -> None:
        """Ends the inquiries that wait for this translator."""
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_result(None)


class InquiryAnswers(NamedTuple):
    """The translators' answers with their names, and the names of translators that did not answer in time."""

    given: list[tuple[str, pb.AttendRequest]]
    silent: list[str]


class Translators:
    """The translators that are connected to this control plane. `patience` is in seconds."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._attending: dict[TranslatorCall, None] = {}
        #: Called when a translator joins or leaves.
        self.on_change: Callable[[], object] = lambda: None

    def joined(self, name: str, gateway: str = "") -> TranslatorCall:
        """Adds a translator's call; `left` ends it."""
        attending = TranslatorCall(name, gateway)
        self._attending[attending] = None
        self.on_change()
        return attending

    def left(self, attending: TranslatorCall) -> None:
        """Removes a call that is over."""
        del self._attending[attending]
        attending.left()
        self.on_change()

    def gateways(self) -> dict[str, TranslatorCall]:
        """Returns the newest call of each gateway, by the gateway's id."""
        return {each.gateway: each for each in self._attending if each.gateway}

    async def ask(self, inquiry: pb.AttendResponse) -> InquiryAnswers:
        """Sends an inquiry to all of them at once."""
        answers = await self.ask_each(dict.fromkeys(self._attending, inquiry))
        given = [(call.name, answer) for call, answer in answers.items() if answer is not None]
        return InquiryAnswers(given, sorted({call.name for call in self._attending if call not in answers}))

    async def ask_each(
        self, inquiries: Mapping[TranslatorCall, pb.AttendResponse]
    ) -> dict[TranslatorCall, pb.AttendRequest | None]:
        """Sends each call its inquiry. Returns the answers that came in time; None for a translator that left."""
        asked = {asyncio.create_task(call.ask(inquiry)): call for call, inquiry in inquiries.items()}
        if not asked:
            return {}
        done, silent = await asyncio.wait(asked, timeout=self._patience)
        for task in silent:
            task.cancel()
        return {asked[task]: task.result() for task in done}
