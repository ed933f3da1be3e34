from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator.ledger.writing import START, request_line, reservation
from translator import money
from translator.ledger import records, rows
from translator.ledger.lines import RequestLine, parse
from translator.ledger.prices import PriceBook, Rates, VersionedPrice
from translator.ledger.usage import NOTHING, Tokens


def route(*prices: policy.Price) -> policy.Route:
    return policy.Route(id="rt_gpt", targets=[policy.Target(id="openai/gpt-4.1", prices=prices)])


def line(**fields: object) -> RequestLine:
    found = parse(request_line("r", **fields).rstrip())
    assert type(found) is RequestLine
    return found


def bill(book: PriceBook, **fields: object) -> records.Bill:
    return records.bill(line(**fields), reservation("r"), book)


@pytest.mark.parametrize(
    ("price", "tokens", "cost"),
    [
        (VersionedPrice(0, 1, 2_000_000, 8_000_000, 500_000, 0), Tokens(1000, 400, 100, 0), 2_200_000),
        (VersionedPrice(0, 1, 20_000, 0, 20_000, 0), Tokens(20, 0, 0, 0), 400),  # an embedding
        (VersionedPrice(0, 1, 500, 0, 500, 0), Tokens(1, 0, 0, 0), 1),  # a half goes up
        (VersionedPrice(0, 1, 499, 0, 499, 0), Tokens(1, 0, 0, 0), 0),
        (VersionedPrice(0, 1, 300, 200, 0, 0), Tokens(1, 0, 1, 0), 1),  # rounded once, not per kind
        (VersionedPrice(0, 1, 0, 0, 0, 7), Tokens(5, 0, 5, 0), 7_000),
        (VersionedPrice(0, 1, 10**15, 10**15, 10**15, 10**15), Tokens(10**9, 0, 10**9, 0), money.MAX),
    ],
)
def test_cost(price: VersionedPrice, tokens: Tokens, cost: int) -> None:
    assert price.cost(tokens) == cost


EVERY = policy.Price(
    input=1_000, output=2_000, cached_input=100, cache_write=1_250, cache_write_1h=2_000, reasoning=3_000,
    audio_input=10_000, audio_output=20_000,
)  # fmt: skip
KINDS = Tokens(
    1_000, 100, 500, 50, cache_write=200, cache_write_1h=30, audio_input=7, audio_output=9
)  # fmt: skip


@pytest.mark.parametrize(
    ("price", "tokens", "thousandths"),
    [
        (
            EVERY,
            KINDS,
            663 * 1_000 + 100 * 100 + 200 * 1_250 + 30 * 2_000 + 7 * 10_000
            + 441 * 2_000 + 50 * 3_000 + 9 * 20_000,
        ),
        # Whatever has no price of its own costs what is nearest to it.
        (policy.Price(input=1_000, output=2_000), KINDS, 1_000 * 1_000 + 500 * 2_000),
        (
            policy.Price(input=1_000, output=2_000, cache_write=1_250),
            KINDS,
            770 * 1_000 + 230 * 1_250 + 500 * 2_000,
        ),
        # All tokens of a request have the rates of its length, of its service tier, or of both.
        *(
            (
                policy.Price(
                    input=1_000, output=2_000,
                    tiers=[policy.ContextTier(above=200_000, rates=policy.Rates(input=3_000, output=4_000))],
                    service_tiers=[
                        policy.ServiceTier(
                            name="flex", rates=policy.Rates(input=500, output=1_000),
                            tiers=[policy.ContextTier(above=200_000, rates=policy.Rates(input=700, output=900))],
                        )
                    ],
                ),
                Tokens(prompt, 0, 10, 0, tier=tier),
                prompt * by_prompt + 10 * by_completion,
            )
            for prompt, tier, by_prompt, by_completion in (
                (200_000, "", 1_000, 2_000), (200_001, "", 3_000, 4_000), (200_000, "default", 1_000, 2_000),
                (200_000, "flex", 500, 1_000), (200_001, "flex", 700, 900), (0, "flex", 500, 1_000),
            )
        ),
    ],
)  # fmt: skip
def test_cost_of_each_kind_of_tokens(price: policy.Price, tokens: Tokens, thousandths: int) -> None:
    assert VersionedPrice.of(price).cost(tokens) == money.nano_usd(thousandths)


IMAGES = [
    policy.ImagePrice(name=name, price=price)
    for name, price in (("1024x1024/high", 167_000), ("1024x1024", 42_000), ("low", 11_000), ("default", 50_000))
]


@pytest.mark.parametrize(
    ("price", "units", "nano_usd"),
    [
        *(
            (
                policy.Price(images=IMAGES),
                {"images": 2, "image_size": size, "image_quality": quality},
                2_000 * each,
            )
            for size, quality, each in (
                ("1024x1024", "high", 167_000),
                ("1024x1024", "low", 42_000),
                ("1024x1536", "low", 11_000),
                ("1024x1536", "high", 50_000),
                ("", "", 50_000),
            )
        ),
        # 0.006 USD a minute, of 8.4705 s: 847,050 nano-USD.
        (policy.Price(audio_second_input=100_000_000), {"audio_in_ms": 8_471}, 847_100),
        (policy.Price(audio_second_output=100_000_000), {"audio_out_ms": 1}, 100),
        (policy.Price(character=15_000_000), {"characters": 7}, 105_000),  # 15 USD per million
        (policy.Price(search_unit=2_000), {"search_units": 3}, 6_000_000),
        (policy.Price(search_unit=2_000, request=5), {"search_units": 1}, 2_005_000),
        (policy.Price(images=IMAGES), {"images": 10**9}, money.MAX),
        (policy.Price(audio_second_input=499), {"audio_in_ms": 1_000}, 0),
        (policy.Price(audio_second_input=500), {"audio_in_ms": 1_000}, 1),
        (policy.Price(input=7, output=7), {"images": 1, "audio_in_ms": 1, "characters": 1, "search_units": 1}, 0),
    ],
)
def test_cost_of_units_beside_tokens(price: policy.Price, units: dict[str, Any], nano_usd: int) -> None:
    assert VersionedPrice.of(price).cost(Tokens(0, 0, 0, 0, **units)) == nano_usd


def test_the_price_at_the_requests_start_also_after_it_was_replaced() -> None:
    book = PriceBook()
    book.put(
        route(policy.Price(input=1_000_000, version=1), policy.Price(input=9, version=3, valid_from=START + 99))
    )
    book.put(route(policy.Price(input=2_000_000, version=2, valid_from=START + 1)))
    for start, version in ((START, 1), (START + 1, 2), (START + 98, 2), (START + 99, 3)):
        price = book.at("rt_gpt", "openai/gpt-4.1", start)
        assert price is not None
        assert price.version == version
    restored = PriceBook()
    restored.restore(orjson.loads(orjson.dumps(book.dump())))
    assert restored.at("rt_gpt", "openai/gpt-4.1", START) == book.at("rt_gpt", "openai/gpt-4.1", START)
    assert book.at("rt_gpt", "other", START) is None
    assert book.at("rt_x", "openai/gpt-4.1", START) is None


def test_bill() -> None:
    book = PriceBook()
    book.put(route(policy.Price(input=2_000_000, output=8_000_000, request=3, version=4)))
    assert bill(book) == records.Bill(Tokens(10, 0, 5, 0), 20_000 + 40_000 + 3_000, 4)
    # A failed request is free, including its price per request.
    assert bill(book, usage=None, status=503).cost == 0
    unknown = bill(book, target="other/x")
    assert (unknown.tokens.total, unknown.cost, unknown.price_version) == (15, 0, 0)


def test_record() -> None:
    made = rows.as_message(
        records.record(
            line(node="nd-1 1000000 2500000", first_byte_us="7"),
            reservation("r", user="u%201", tag="t%2F", stream=True),
            bill(PriceBook()),
        )
    )
    assert (made.id, made.format, made.started_at_us) == ("r", 1, START * 1_000_000 + 250)
    assert (made.organisation_id, made.key_id, made.route_id, made.model) == (
        "org_acme",
        "key_ci",
        "rt_gpt",
        "gpt-4.1",
    )
    assert (made.end_user, made.tag, made.provider, made.stream) == ("u 1", "t/", "openai", True)
    assert (made.first_byte_us, made.duration_us, made.request_bytes, made.response_bytes) == (7, 2000, 300, 800)
    assert (made.prompt_tokens, made.completion_tokens, made.price_version) == (10, 5, 0)
    # 10 prompt tokens at 1 micro-USD and 5 at 2.5, a half rounded up.
    assert (made.node_id, made.earned_micro_usd) == ("nd-1", 23)


@pytest.mark.parametrize(
    ("failed", "attempts", "told"),
    [
        ("a%20b/x=500", 2, [("a b/x", 500, "refused")]),
        ("a/x=0 b/x=429", 3, [("a/x", 0, "no answer"), ("b/x", 429, "refused")]),
        ("a/x=0:7 b/x=429:x cancelled", 3, [("a/x", 0, "no answer"), ("b/x", 429, "refused")]),
        ("cancelled", 2, []),
        ("a/x=503 b/x=503", 2, [("a/x", 503, "refused")]),  # the last attempt is the line itself
        ("a/x=503", 1, []),
    ],
)
def test_the_attempts_before_the_last_one(failed: str, attempts: int, told: list[tuple[str, int, str]]) -> None:
    of = line(failed=failed, attempts=attempts)
    assert of.reservation is not None
    found = rows.as_message(records.record(of, of.reservation, records.Bill(NOTHING, 0, 0))).failed_attempts
    assert [(each.target_id, each.status, each.reason) for each in found] == told


MILLION = 1_000_000
FULL = policy.Price(
    version=1,
    input=2 * MILLION,
    output=8 * MILLION,
    cached_input=MILLION // 2,
    cache_write=3 * MILLION,
    cache_write_1h=4 * MILLION,
    reasoning=9 * MILLION,
    audio_input=40 * MILLION,
    audio_output=80 * MILLION,
    request=5,
    audio_second_input=100 * MILLION,
    audio_second_output=200 * MILLION,
    character=15 * MILLION,
    search_unit=2_000,
    images=[
        policy.ImagePrice(name=name, price=price)
        for name, price in (
            ("1024x1024/high", 167_000), ("1024x1024", 42_000), ("high", 250_000), ("default", 40_000)
        )
    ],
    tiers=[
        policy.ContextTier(above=100, rates=policy.Rates(input=20 * MILLION, output=80 * MILLION)),
        policy.ContextTier(above=200, rates=policy.Rates(input=30 * MILLION, output=90 * MILLION, cached_input=0)),
    ],
    service_tiers=[
        policy.ServiceTier(
            name="flex",
            rates=policy.Rates(input=MILLION, output=4 * MILLION),
            tiers=[policy.ContextTier(above=150, rates=policy.Rates(input=2 * MILLION, output=5 * MILLION))],
        )
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "micro_usd"),
    [
        (Tokens(10, 0, 10, 0), 10 * 2 + 10 * 8),
        (Tokens(10, 4, 0, 0), 6 * 2 + 4 / 2),
        (Tokens(10, 2, 0, 0, cache_write=3, cache_write_1h=4), 1 * 2 + 2 / 2 + 3 * 3 + 4 * 4),
        (Tokens(10, 0, 10, 6), 10 * 2 + 4 * 8 + 6 * 9),
        (Tokens(10, 0, 10, 0, audio_input=4, audio_output=3), 6 * 2 + 4 * 40 + 7 * 8 + 3 * 80),
        # A target that counts a token twice is paid once.
        (Tokens(10, 8, 10, 8, audio_input=5, audio_output=5), 8 / 2 + 2 * 40 + 5 * 80 + 5 * 9),
        (Tokens(100, 0, 1, 0), 100 * 2 + 8),
        (Tokens(101, 0, 1, 0), 101 * 20 + 80),
        (Tokens(101, 50, 1, 1), 101 * 20 + 80),  # in a tier, what is left out is as its input and output
        (Tokens(201, 50, 1, 0), 151 * 30 + 90),
        (Tokens(101, 0, 1, 0, tier="flex"), 101 + 4),
        (Tokens(151, 0, 1, 0, tier="flex"), 151 * 2 + 5),
        (Tokens(10, 0, 0, 0, tier="default"), 10 * 2),
        (Tokens(0, 0, 0, 0, audio_in_ms=1_500, audio_out_ms=1), 150 + 0.2),
        (Tokens(0, 0, 0, 0, characters=7), 105),
        (Tokens(0, 0, 0, 0, search_units=3), 6_000),
        (Tokens(0, 0, 0, 0, images=2, image_size="1024x1024", image_quality="high"), 334_000),
        (Tokens(0, 0, 0, 0, images=1, image_size="1024x1024", image_quality="low"), 42_000),
        (Tokens(0, 0, 0, 0, images=1, image_size="256x256", image_quality="high"), 250_000),
        (Tokens(0, 0, 0, 0, images=1), 40_000),
    ],
)
def test_the_cost_of_every_unit(tokens: Tokens, micro_usd: float) -> None:
    price = VersionedPrice.of(FULL)
    assert price.cost(tokens) == round(micro_usd * 1_000) + 5_000
    restored = VersionedPrice.restored(orjson.loads(orjson.dumps(price.fields)))
    assert (restored, restored.cost(tokens)) == (price, price.cost(tokens))


@given(*[st.integers(0, 1 << 30)] * 3, st.lists(st.integers(0, 100_000), min_size=8, max_size=8))
def test_three_rates_cost_what_all_of_them_do(input_: int, output: int, cached: int, counts: list[int]) -> None:
    message = policy.Price(version=1, input=input_, output=output, cached_input=cached)
    price = VersionedPrice.of(message)
    read, write, write_1h, heard, more, thought, spoken, text = counts
    tokens = Tokens(
        read + write + write_1h + heard + more, read, thought + spoken + text, thought, cache_write=write,
        cache_write_1h=write_1h, audio_input=heard, audio_output=spoken,
    )  # fmt: skip
    assert price.rates == ()
    assert price.cost(tokens) == min(money.nano_usd(Rates.of(0, message).cost(tokens)), money.MAX)


def test_a_price_of_an_earlier_version_is_restored() -> None:
    assert VersionedPrice.restored([7, 1, 2, 8, 1, 5]) == VersionedPrice(7, 1, 2, 8, 1, 5)
