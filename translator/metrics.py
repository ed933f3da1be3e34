"""`/metrics` in Prometheus' text format, version 0.0.4. No label carries a key, an organisation or a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from translator.http.message import Response

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """One metric with one value, or with one per value of its only label."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: float | Mapping[str, float]
    label: str = ""


class Metrics:
    """What the decisions were, and whatever `sources` tell when they are asked."""

    def __init__(self) -> None:
        #: By outcome: `allowed`, or the code of the refusal; both are literals of this package.
        self.decisions: dict[str, int] = {"allowed": 0}
        self.sources: list[Callable[[], Iterable[Sample]]] = [self._own]

    def decided(self, outcome: str) -> None:
        self.decisions[outcome] = self.decisions.get(outcome, 0) + 1

    def response(self) -> Response:
        text = "".join(_text(sample) for source in self.sources for sample in source())
        return Response(200, {"content-type": _CONTENT_TYPE}, text.encode())

    def _own(self) -> Iterable[Sample]:
        yield Sample(
            "trunkline_translator_decisions_total",
            "counter",
            "Requests decided about, by outcome.",
            self.decisions,
            "outcome",
        )


def _text(sample: Sample) -> str:
    head = f"# HELP {sample.name} {sample.help}\n# TYPE {sample.name} {sample.kind}\n"
    if isinstance(sample.value, Mapping):
        values = sample.value.items()
        return head + "".join(f'{sample.name}{{{sample.label}="{key}"}} {each:g}\n' for key, each in values)
    return f"{head}{sample.name} {sample.value:g}\n"
