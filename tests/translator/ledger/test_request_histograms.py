"""Histograms of finished requests, as dashboards read them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, strategies as st
from prometheus_client.parser import text_string_to_metric_families

from translator.ledger import request_histograms
from translator.ledger.lines import RequestLine
from translator.ledger.records import Bill
from translator.ledger.request_histograms import RequestHistograms, outcome
from translator.ledger.usage import Tokens
from translator.limits import Reservation
from translator.metrics import Metrics
from translator.metrics.histograms import MAX_SERIES, OTHER

GEN_AI = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt-4.1",
}


def ended(
    into: RequestHistograms,
    *,
    model: str = "gpt-4.1",
    target: str = "openai/gpt-4.1",
    status: int = 200,
    flags: str = "",
    stream: bool = False,
    units: str = "",
    reserved: int = 100,
    completion: int = 21,
    cost: int = 1_500,
    duration_ms: int = 1_200,
    first_byte_us: int = 200_000,
) -> None:
    reservation = Reservation("id", 1.0, "org", "key", "rt", model, reserved, 0, 12, stream, "", "", units=units)
    line = RequestLine(
        reservation, target, "", "", 1, status, flags, 10, 10, first_byte_us, duration_ms, None, None, 0
    )
    into.observe(line, reservation, Bill(Tokens(12 if completion else 0, 0, completion, 0), cost, 1))


async def scraped(of: RequestHistograms) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    metrics = Metrics()
    metrics.families.append(of.pieces)
    text = (await metrics.response()).body.decode()
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def value(told: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float | None:
    return told.get((name, frozenset(labels.items())))


async def test_a_stream_is_in_every_family() -> None:
    of = RequestHistograms()
    ended(of, stream=True)
    told = await scraped(of)
    ours = {"model": "gpt-4.1", "provider": "openai", "outcome": "ok"}
    assert value(told, "trunkline_request_duration_seconds_sum", **ours) == 1.2
    assert value(told, "trunkline_request_duration_seconds_bucket", **ours, le="1.28") == 1
    assert value(told, "trunkline_request_duration_seconds_bucket", **ours, le="0.64") == 0
    assert value(told, "trunkline_request_first_byte_seconds_sum", **ours) == 0.2
    assert value(told, "trunkline_request_cost_usd_total", model="gpt-4.1", provider="openai") == 1.5e-6
    assert value(told, "gen_ai_server_request_duration_seconds_count", **GEN_AI, error_type="") == 1
    assert value(told, "gen_ai_server_time_to_first_token_seconds_sum", **GEN_AI) == 0.2
    # One second for the twenty tokens after the first.
    assert value(told, "gen_ai_server_time_per_output_token_seconds_sum", **GEN_AI) == 0.05
    assert value(told, "gen_ai_client_token_usage_sum", **GEN_AI, gen_ai_token_type="input") == 12
    assert value(told, "gen_ai_client_token_usage_sum", **GEN_AI, gen_ai_token_type="output") == 21
    assert value(told, "gen_ai_client_token_usage_bucket", **GEN_AI, gen_ai_token_type="output", le="64.0") == 1


async def test_a_whole_answer_has_no_first_token() -> None:
    of = RequestHistograms()
    ended(of)
    names = {name for name, _ in await scraped(of)}
    assert "gen_ai_server_request_duration_seconds_count" in names
    assert not {name for name in names if "first_token" in name or "per_output" in name}


@pytest.mark.parametrize(
    ("units", "reserved", "operation"),
    [
        ("", 100, "chat"),
        ("", 12, "embeddings"),
        ("i2:1024x1024:high", 100, "image_generation"),
        ("s20:mp3", 12, "speech"),
        ("t1000:", 100, "transcription"),
        ("r5", 12, "rerank"),
    ],
)
async def test_the_operation(units: str, reserved: int, operation: str) -> None:
    of = RequestHistograms()
    ended(of, units=units, reserved=reserved)
    labels = {**GEN_AI, "gen_ai_operation_name": operation, "error_type": ""}
    assert value(await scraped(of), "gen_ai_server_request_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize(
    ("status", "flags", "target", "ours", "error"),
    [
        (200, "", "openai/gpt-4.1", "ok", ""),
        (200, "DC", "openai/gpt-4.1", "cancelled", "cancelled"),
        (0, "DC", "openai/gpt-4.1", "cancelled", "cancelled"),
        (200, "UPE", "openai/gpt-4.1", "broken", "broken"),
        (200, "UC,URX", "openai/gpt-4.1", "broken", "broken"),
        (429, "URX", "openai/gpt-4.1", "rate_limited", "429"),
        (504, "UT", "openai/gpt-4.1", "timeout", "504"),
        (400, "", "openai/gpt-4.1", "client_error", "400"),
        (418, "", "openai/gpt-4.1", "client_error", "_OTHER"),
        (500, "", "openai/gpt-4.1", "server_error", "500"),
        (503, "UH", "", "unreachable", "503"),
    ],
)
async def test_the_outcome(status: int, flags: str, target: str, ours: str, error: str) -> None:
    of = RequestHistograms()
    ended(of, status=status, flags=flags, target=target, completion=0, cost=0)
    told = await scraped(of)
    provider = target.partition("/")[0]
    labels = {"model": "gpt-4.1", "provider": provider, "outcome": ours}
    assert value(told, "trunkline_request_duration_seconds_count", **labels) == 1
    conventional = {**GEN_AI, "gen_ai_provider_name": provider, "error_type": error}
    assert value(told, "gen_ai_server_request_duration_seconds_count", **conventional) == 1


@given(st.integers(0, 999), st.text(max_size=20), st.booleans())
def test_an_outcome_is_one_of_few_words(status: int, flags: str, reached: bool) -> None:
    words = ["ok", "cancelled", "broken", "rate_limited", "timeout", "client_error", "server_error", "unreachable"]
    assert outcome(status, flags, reached=reached) in words


async def test_nothing_is_lost_in_batches() -> None:
    of = RequestHistograms()
    many = request_histograms._FULL // request_histograms._FIELDS * 3 + 17
    for number in range(many):
        ended(of, duration_ms=number, cost=10**15)
    told = await scraped(of)
    ours = {"model": "gpt-4.1", "provider": "openai", "outcome": "ok"}
    assert value(told, "trunkline_request_duration_seconds_count", **ours) == many
    assert value(told, "trunkline_request_duration_seconds_sum", **ours) == many * (many - 1) // 2 / 1000
    assert value(told, "trunkline_request_cost_usd_total", model="gpt-4.1", provider="openai") == many * 10**6


@pytest.mark.slow
async def test_names_that_anybody_chose_make_no_more_series_than_the_bound_and_lose_no_request() -> None:
    of = RequestHistograms()
    for number in range(2_000):
        hostile = f'm{number}"}}\n# HELP evil \u202e{"x" * 300}'
        ended(of, model=hostile, target=f"p{number}/m", status=200 + number % 400)
    told = await scraped(of)
    name = "trunkline_request_duration_seconds_count"
    counts = {labels: each for (found, labels), each in told.items() if found == name}
    assert sum(counts.values()) == 2_000
    assert MAX_SERIES <= len(counts) <= MAX_SERIES + 8
    assert any(("model", OTHER) in labels for labels in counts)
    assert all(len(each) <= 128 and each.isprintable() for labels in counts for _, each in labels)
    costs = [each for (name, _), each in told.items() if name == "trunkline_request_cost_usd_total"]
    assert len(costs) == MAX_SERIES + 1
    assert sum(costs) == pytest.approx(2_000 * 1.5e-6)
    assert len(of._kinds) <= request_histograms._MAX_KINDS


def test_requests_of_many_kinds_are_counted_in_many_pieces() -> None:
    of = RequestHistograms()
    for number in range(100):
        ended(of, model=f"m{number}")
    pieces = of.pieces()
    for number in range(1, 101):
        next(pieces)
        assert sum(1 for kind in of._kinds.values() if not kind.rows) == number


async def test_what_was_refused_is_counted_by_outcome_alone() -> None:
    of = RequestHistograms()
    of.observe_unbilled(RequestLine(None, "", "", "", 0, 429, "", 10, 10, 0, 3, None, None, 0))
    labels = {"model": "", "provider": "", "outcome": "rate_limited"}
    assert value(await scraped(of), "trunkline_request_duration_seconds_count", **labels) == 1
