"""Histograms of finished requests, by the names of OpenTelemetry's GenAI conventions and by names of ours.

Requests are observed when their line of the log is settled, for which no client waits. Each costs one lookup and
five numbers in a list; every 256 requests of a kind are then counted together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from translator.bodies import requested_units
from translator.ledger.lines import RequestLine
from translator.ledger.records import Bill
from translator.limits import Reservation
from translator.metrics import text
from translator.metrics.histograms import MAX_SERIES, OTHER, Family, Histogram, add, label

#: The numbers of a request: milliseconds, microseconds to the first byte, tokens of prompt and completion,
#: nano-USD.
_FIELDS = 5
#: Numbers of a kind of requests that are counted together, and most kinds that are remembered.
_FULL = 256 * _FIELDS
_MAX_KINDS = 256
_NANO = 10**9

#: The bounds in seconds that the conventions recommend, in milliseconds and microseconds.
_DURATION_MS = (10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 40960, 81920)
_FIRST_TOKEN_US = tuple(
    each * 1000 for each in (1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
)
_PER_TOKEN_US = tuple(each * 1000 for each in (10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500))
_TOKENS = tuple(4**power for power in range(14))

_OPERATIONS = {
    requested_units.IMAGES: "image_generation",
    requested_units.SPEECH: "speech",
    requested_units.TRANSCRIPTION: "transcription",
    requested_units.RERANK: "rerank",
}
#: Statuses that `error_type` distinguishes; others are `_OTHER`, as in the conventions.
_ERRORS = frozenset({400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529})
#: Envoy's response flags: the client left; the target's answer was cut.
_LEFT = frozenset({"DC"})
_BROKEN = frozenset({"UC", "UR", "LR", "UPE", "UT", "SI", "UMSDR", "DPE", "OM"})


class RequestHistograms:
    """Histograms that belong to one event loop."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        #: The `rows` of each kind.
        self._rows: dict[tuple[Any, ...], list[int]] = {}
        models = frozenset({"model", "provider"})
        ours = ("model", "provider", "outcome")
        self.duration = Family(
            "trunkline_request_duration_seconds",
            "From a request's first byte to its answer's last.",
            ours,
            _DURATION_MS,
            open_labels=models,
            scale=1000,
        )
        self.first_byte = Family(
            "trunkline_request_first_byte_seconds",
            "From a request's first byte to the first of the target's answer.",
            ours,
            _FIRST_TOKEN_US,
            open_labels=models,
            scale=10**6,
        )
        operation = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
        conventional = frozenset(operation[1:])
        self.server_duration = Family(
            "gen_ai_server_request_duration_seconds",
            "Duration of requests; error_type is empty for those that succeeded.",
            (*operation, "error_type"),
            _DURATION_MS,
            open_labels=conventional,
            scale=1000,
        )
        self.first_token = Family(
            "gen_ai_server_time_to_first_token_seconds",
            "Time to the first byte of streams that succeeded.",
            operation,
            _FIRST_TOKEN_US,
            open_labels=conventional,
            scale=10**6,
        )
        self.per_token = Family(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per token after the first byte of streams that succeeded.",
            operation,
            _PER_TOKEN_US,
            open_labels=conventional,
            scale=10**6,
        )
        self.tokens = Family(
            "gen_ai_client_token_usage",
            "Tokens that requests are billed for.",
            (*operation, "gen_ai_token_type"),
            _TOKENS,
            open_labels=conventional,
        )
        #: Nano-USD by model and provider.
        self.cost: dict[tuple[str, str], int] = {}

    def observe(self, line: RequestLine, reservation: Reservation, billed: Bill) -> None:
        """Observes a request that was let through and has ended."""
        tokens = billed.tokens
        # Without an estimated output, the endpoint has none; a cached answer has no estimate.
        textless = reservation.tokens == reservation.prompt and reservation.saved < 0
        key: tuple[Any, ...] = (reservation.model, line.target, line.status, reservation.stream, textless)
        if line.flags or reservation.units:
            key = (*key, line.flags, reservation.units[:1])
        rows = self._rows.get(key)
        if rows is None:
            rows = self._new(key)
        rows += (line.duration_ms, line.first_byte_us, tokens.prompt, tokens.completion, billed.cost)
        if len(rows) >= _FULL:
            self._kinds[key].count()

    def observe_unbilled(self, line: RequestLine) -> None:
        """Observes a request that was refused or names no model, and has ended."""
        histogram = self.duration.of("", "", outcome(line.status, line.flags, reached=False))
        add((line.duration_ms,), (histogram,))

    def pieces(self) -> Iterator[str]:
        """Yields the text of everything observed until now, in pieces; some are empty."""
        for kind in list(self._kinds.values()):
            if kind.rows:
                kind.count()
                yield ""
        families = (self.duration, self.first_byte, self.server_duration, self.first_token, self.per_token)
        for family in (*families, self.tokens):
            yield from family.pieces()
        cost = "trunkline_request_cost_usd_total"
        lines = [
            f"{cost}{{{text.labels({'model': model, 'provider': provider})}}} {text.number(nano / _NANO)}\n"
            for (model, provider), nano in self.cost.items()
        ]
        yield text.head(cost, "counter", "The cost that requests are billed, in USD.") + "".join(lines)

    def _new(self, key: tuple[Any, ...]) -> list[int]:
        if len(self._kinds) >= _MAX_KINDS:
            oldest = next(iter(self._kinds))
            self._kinds.pop(oldest).count()
            del self._rows[oldest]
        made = self._kinds[key] = _Kind(self, *key)
        self._rows[key] = made.rows
        return made.rows


class _Kind:
    """Requests that have all labels in common.

    `rows` has those that are not counted yet, `_FIELDS` numbers each: a flat list costs the garbage collector
    nothing.
    """

    def __init__(  # noqa: PLR0917 - the parts of a key
        self,
        into: RequestHistograms,
        model: str,
        target: str,
        status: int,
        stream: bool,
        textless: bool,
        flags: str = "",
        units: str = "",
    ) -> None:
        self.rows: list[int] = []
        provider = target.partition("/")[0]
        operation = _OPERATIONS.get(units, "embeddings" if textless else "chat")
        ended = outcome(status, flags, reached=bool(target))
        conventional = operation, provider, model
        self._durations = (
            into.duration.of(model, provider, ended),
            into.server_duration.of(*conventional, _error_type(status, ended)),
        )
        self._first_bytes = [into.first_byte.of(model, provider, ended)] if target else []
        self._input = into.tokens.of(*conventional, "input")
        self._output = into.tokens.of(*conventional, "output")
        self._per_token: Histogram | None = None
        if ended == "ok" and stream:
            self._first_bytes.append(into.first_token.of(*conventional))
            self._per_token = into.per_token.of(*conventional)
        self._costs = into.cost
        known = (label(model), label(provider))
        self._paid_by = known if known in into.cost or len(into.cost) < MAX_SERIES else (OTHER, OTHER)
        into.cost.setdefault(self._paid_by, 0)

    def count(self) -> None:
        """Counts the rows in the histograms."""
        if not self.rows:
            return
        durations, first_bytes, prompts, completions, costs = (
            self.rows[field::_FIELDS] for field in range(_FIELDS)
        )
        add(durations, self._durations)
        add(first_bytes, self._first_bytes)
        # Failed requests used nothing.
        if any(prompts):
            add(prompts, (self._input,))
        if any(completions):
            add(completions, (self._output,))
        self._costs[self._paid_by] += sum(costs)
        if self._per_token is not None:
            later = [
                max(0, duration * 1000 - first) // (made - 1)
                for duration, first, made in zip(durations, first_bytes, completions, strict=True)
                if made > 1
            ]
            add(later, (self._per_token,))
        self.rows.clear()


def outcome(status: int, flags: str, *, reached: bool) -> str:
    """Returns how a request ended, in one of eight words.

    `ok`, `cancelled` (the client left), `broken` (the answer was cut), `rate_limited`, `timeout`, `client_error`,
    `server_error`, `unreachable` (no target was reached).
    """
    given = set(flags.split(",")) if flags else set()
    if given & _LEFT or not status:
        return "cancelled"
    if status < 400:
        return "broken" if given & _BROKEN else "ok"
    if status == 429:
        return "rate_limited"
    if status in {408, 504}:
        return "timeout"
    if status < 500:
        return "client_error"
    return "server_error" if reached else "unreachable"


def _error_type(status: int, ended: str) -> str:
    if ended == "ok":
        return ""
    if status < 400:
        return ended
    return str(status) if status in _ERRORS else "_OTHER"
