"""The behaviour of the fake provider: values that its control API sets."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Self

MODES = (
    "ok",
    "status",  # answer `status` in OpenAI's error shape
    "hang",  # read the request, never answer
    "reset",  # RST after reading the request
    "trickle_headers",  # one byte of the head every `interval_ms`, for ever
    "headers_then_silence",  # 200 and SSE headers, then no event
    "die_mid_stream",  # close after `after_events` events, without the last chunk
    "refuse",  # nobody listens on the port: connection refused; open connections are closed
    "drop_syn",  # the port's SYNs are dropped: connecting never ends; open connections are closed
    "slow",  # ok, the first byte after `delay_ms`
    "held",  # ok, but waits until the behaviour is set again: a stream after `after_events`, others at once
    "raw",  # read the request, answer with `raw` unchanged, in `pieces` with `interval_ms` between them
)
FAULT_USER = re.compile(r"fault:(status|slow):(\d+)")
FAULTY_MODEL = re.compile(r"always-(\d{3})")
PACED_MODEL = re.compile(r"paced-(\d+)-(\d+)$")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the provider behaves. Names that end with `_ms` are milliseconds. `times` is the number of POST requests
    for which the behaviour lasts (then ok), while others are answered well; 0: all requests, until it is changed.

    `events` is the number of content pieces of an answer (0: the words of the default text), `event_bytes` the
    size of each piece, and `interval_ms` the time between a stream's events. `numbered` pieces are their own
    numbers. `headers` are additional headers of an answer. `closes`: the connection ends after `raw`.
    """

    mode: str = "ok"
    status: int = 500
    retry_after: str = ""
    delay_ms: int = 0
    after_events: int = 2
    events: int = 0
    event_bytes: int = 0
    interval_ms: int = 0
    times: int = 0
    numbered: bool = False
    raw: str = ""
    pieces: int = 1
    closes: bool = False
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        """Reads the control API's JSON; `mode` may be `status:429`. Raises ValueError on anything unknown."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise ValueError(f"unknown fields {unknown}, known are {sorted(known)}")
        values = dict(fields)
        mode, _, code = str(values.get("mode", "ok")).partition(":")
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}, known are {MODES}")
        values["mode"] = mode
        if code:
            values["status"] = int(code)
        return cls(**values)

    def paced_by(self, model: object) -> Behaviour:
        """A model named `paced-<events>-<interval_ms>` sets the pace of its own answer."""
        match = PACED_MODEL.search(model) if isinstance(model, str) else None
        if match is None:
            return self
        return dataclasses.replace(self, events=int(match[1]), interval_ms=int(match[2]))

    def wanted_by(self, user: object) -> Behaviour:
        """Returns the behaviour for a request whose user is `fault:status:<status>` or `fault:slow:<ms>`, which
        affects no other request.
        """
        match = FAULT_USER.fullmatch(user) if isinstance(user, str) else None
        if match is None:
            return self
        if match[1] == "status":
            return dataclasses.replace(self, mode=match[1], status=int(match[2]))
        return dataclasses.replace(self, mode=match[1], delay_ms=int(match[2]))

    def wanted_by_model(self, model: object) -> Behaviour:
        """A model named `always-<status>` answers every request with that status."""
        match = FAULTY_MODEL.fullmatch(model) if isinstance(model, str) else None
        return self if match is None else dataclasses.replace(self, mode="status", status=int(match[1]))
