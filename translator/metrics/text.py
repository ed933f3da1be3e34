"""Metrics as Prometheus' text. Imported at the first scrape, because the library takes long to load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import Metric, generate_latest
from prometheus_client.samples import Sample

from translator.metrics.family import MetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Samples written in one step, which takes about a millisecond.
_STEP = 200


class _Registry:
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def written(parts: Iterable[MetricFamily]) -> Iterator[bytes]:
    """Yields the text of `parts` in steps, with HELP and TYPE before the first part of each metric."""
    name = ""
    for part in parts:
        head = _text(part, ())
        if part.name != name:
            name = part.name
            yield head
        for begin in range(0, len(part.samples), _STEP):
            samples = [Sample(*each) for each in part.samples[begin : begin + _STEP]]
            yield _text(part, samples)[len(head) :]


def _text(part: MetricFamily, samples: Sequence[Sample]) -> bytes:
    metric = Metric(part.name.removesuffix("_total"), part.help, part.kind)
    metric.samples = list(samples)
    return generate_latest(_Registry(metric))
