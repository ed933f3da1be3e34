"""Histograms of whole numbers, exact for any count, with a bounded number of label sets per family."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from translator.metrics import text

#: Most label sets of one family. Further ones are counted under `OTHER`.
MAX_SERIES = 200
#: Label sets in a piece of text, which takes a tenth of a millisecond to write.
_PIECE = 16
#: Replaces the values of labels beyond MAX_SERIES.
OTHER = "other"
#: Most characters of a label's value.
_LONGEST = 128


class Histogram:
    """Counts per bound, each inclusive and in the unit of the values, and the sum of the values."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0


def add(values: Sequence[int], histograms: Sequence[Histogram]) -> None:
    """Counts `values` in each of `histograms`, which have the same bounds.

    Sorting the values costs less than searching the bounds for each of them.
    """
    if not values or not histograms:
        return
    ordered = sorted(values)
    total, most = sum(ordered), ordered[-1]
    before = 0
    for number, bound in enumerate(histograms[0].bounds):
        until = len(ordered) if bound >= most else bisect_right(ordered, bound, before)
        if until != before:
            for histogram in histograms:
                histogram.counts[number] += until - before
            before = until
            if until == len(ordered):
                break
    for histogram in histograms:
        histogram.counts[-1] += len(ordered) - before
        histogram.sum += total


class Family:
    """Histograms of one name, one for each set of values of `labels`.

    `open_labels` are the labels whose values configuration or clients choose; beyond `MAX_SERIES` their values
    become `OTHER`. `scale` divides values into the exposed unit.
    """

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        bounds: Sequence[int],
        *,
        open_labels: frozenset[str],
        scale: int = 1,
    ) -> None:
        self.name = name
        self._help = help_text
        self._labels = labels
        self._bounds = bounds
        self._open = open_labels
        self._scale = scale
        #: The end of each bucket's line, before its count.
        self._les = [f'{le}"}} ' for le in (*(_number(bound, scale) for bound in bounds), "+Inf")]
        self._known: dict[tuple[str, ...], Histogram] = {}

    def of(self, *values: str) -> Histogram:
        """Returns the histogram of these label values, in the order of `labels`."""
        key = tuple(map(label, values))
        if key not in self._known and len(self._known) >= MAX_SERIES:
            key = tuple(
                OTHER if name in self._open else value for name, value in zip(self._labels, key, strict=True)
            )
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Histogram(self._bounds)
        return found

    def pieces(self) -> Iterator[str]:
        """Yields the family's text in pieces, each with the counts at the time when it is requested."""
        yield text.head(self.name, "histogram", self._help)
        known = list(self._known.items())
        for begin in range(0, len(known), _PIECE):
            yield "".join([self._lines(values, histogram) for values, histogram in known[begin : begin + _PIECE]])

    def _lines(self, values: Sequence[str], histogram: Histogram) -> str:
        labels = text.labels(dict(zip(self._labels, values, strict=True)))
        bucket = f'{self.name}_bucket{{{labels},le="'
        totals = list(accumulate(histogram.counts))
        lines = [f"{bucket}{le}{total}.0" for le, total in zip(self._les, totals, strict=True)]
        lines.append(f"{self.name}_sum{{{labels}}} {histogram.sum / self._scale}")
        lines.append(f"{self.name}_count{{{labels}}} {totals[-1]}.0\n")
        return "\n".join(lines)


def label(value: str) -> str:
    """Returns a label's value: bounded in length, without unprintable characters, and always valid UTF-8."""
    if len(value) <= _LONGEST and value.isprintable():
        return value
    return "".join(each if each.isprintable() else "\ufffd" for each in value[:_LONGEST])


def _number(value: int, scale: int) -> str:
    """Formats a bound like Prometheus does: `0.01`, `1.0`, `2.5`."""
    return str(float(value / scale))
