"""The page as Prometheus reads it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from translator.metrics import Metrics, Sample
from translator.metrics.histograms import MAX_SERIES, Family, add


async def page(metrics: Metrics) -> str:
    return (await metrics.response()).body.decode()


def values(text: str) -> dict[str, float]:
    return {each.name: each.value for family in text_string_to_metric_families(text) for each in family.samples}


@pytest.mark.parametrize("value", [0, 1, 999_999, 1_234_567, 2**31 + 1, 10**12 + 1, 2**53 - 1, 2**53])
async def test_a_counter_is_exact(value: int) -> None:
    metrics = Metrics()
    metrics.sources.append(lambda: [Sample("a_total", "counter", "A.", value), Sample("b", "gauge", "B.", value)])
    reported = values(await page(metrics))
    assert reported["a_total"] == reported["b"] == value


async def test_a_counter_beyond_what_prometheus_can_hold_never_falls() -> None:
    metrics = Metrics()
    count = 2**53
    metrics.sources.append(lambda: [Sample("a_total", "counter", "A.", count)])
    reported = []
    for _ in range(5):
        reported.append(values(await page(metrics))["a_total"])
        count += 1
    assert reported == sorted(reported)
    assert reported == [float(2**53 + number) for number in range(5)]


async def test_a_family_in_pieces_has_one_head() -> None:
    family = Family("seconds", "A text.", ("model",), (1,), open_labels=frozenset({"model"}))
    for number in range(50):
        add([1], (family.of(f"m{number}"),))
    metrics = Metrics()
    metrics.families.append(family.pieces)
    text = await page(metrics)
    assert text.count("# TYPE seconds histogram") == text.count("# HELP seconds A text.") == 1
    (read,) = [each for each in text_string_to_metric_families(text) if each.name == "seconds"]
    assert len(read.samples) == 50 * 4


async def test_others_run_while_a_large_page_is_written() -> None:
    family = Family("seconds", "A text.", ("model",), range(15), open_labels=frozenset({"model"}))
    for number in range(MAX_SERIES):
        add([1], (family.of(f"m{number}"),))
    seconds = itertools.count()
    # Every look at this clock is a second later, so that each piece is a turn of its own.
    metrics = Metrics(clock=lambda: float(next(seconds)))
    metrics.families.append(family.pieces)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    await page(metrics)
    other.cancel()
    assert turns >= len(list(family.pieces())) >= 10


async def test_scrapes_at_the_same_time_are_one() -> None:
    metrics = Metrics()
    scrapes = 0

    def pieces() -> Iterator[str]:
        nonlocal scrapes
        scrapes += 1
        yield "a 1\n"

    metrics.families.append(pieces)
    first, second = await asyncio.gather(page(metrics), page(metrics))
    assert first == second
    assert scrapes == 1
    await page(metrics)
    assert scrapes == 2
