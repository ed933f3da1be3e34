"""The reservation is never less than what the request may cost."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator.ledger.test_prices import FULL, MILLION
from translator import money
from translator.ledger.prices import VersionedPrice
from translator.ledger.usage import Tokens
from translator.policy.pricing import Ceiling

RATE = st.integers(0, 50 * MILLION)
OPTIONAL = st.none() | RATE
TOKEN_RATES = {
    "input": RATE,
    "output": RATE,
    **dict.fromkeys(
        ("cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output"), OPTIONAL
    ),
}
RATES = st.builds(policy.Rates, **TOKEN_RATES)
TIERS = st.lists(st.builds(policy.ContextTier, above=st.integers(1, 1_000), rates=RATES), max_size=3)
PRICES = st.builds(
    policy.Price,
    version=st.just(1),
    request=st.integers(0, 100),
    tiers=TIERS,
    service_tiers=st.lists(
        st.builds(policy.ServiceTier, name=st.sampled_from(["flex", "priority"]), rates=RATES, tiers=TIERS),
        max_size=2,
        unique_by=lambda each: each.name,
    ),
    **TOKEN_RATES,
)
COUNT = st.integers(0, 1_200)


@pytest.mark.slow
@given(st.lists(PRICES, min_size=1, max_size=3), COUNT, COUNT, st.data())
def test_no_split_of_the_reserved_tokens_costs_more(
    prices: list[policy.Price], prompt: int, completion: int, data: st.DataObject
) -> None:
    ceiling = Ceiling([policy.Target(id=str(index), prices=[each]) for index, each in enumerate(prices)])
    within, made = st.integers(0, prompt), st.integers(0, completion)
    tokens = Tokens(
        prompt,
        data.draw(within),
        completion,
        data.draw(made),
        cache_write=data.draw(within),
        cache_write_1h=data.draw(within),
        audio_input=data.draw(within),
        audio_output=data.draw(made),
        tier=data.draw(st.sampled_from(["", "flex", "priority", "batch"])),
    )
    assert ceiling.cost(prompt, completion, 0) >= max(VersionedPrice.of(each).cost(tokens) for each in prices)


@pytest.mark.parametrize(
    ("beside", "tokens"),
    [
        ("i3:1024x1024:high", Tokens(0, 0, 0, 0, images=3, image_size="1024x1024", image_quality="high")),
        ("i2::", Tokens(0, 0, 0, 0, images=2, image_quality="high")),
        ("s700:mp3", Tokens(0, 0, 0, 0, characters=700, audio_out_ms=60_000)),
        ("t61001", Tokens(0, 0, 0, 0, audio_in_ms=61_001)),
        ("r101", Tokens(0, 0, 0, 0, search_units=2)),
    ],
)
def test_what_is_asked_for_beside_text_is_reserved(beside: str, tokens: Tokens) -> None:
    ceiling = Ceiling([policy.Target(id="a", prices=[FULL]), policy.Target(id="b")])
    reserved = ceiling.cost(0, 0, 0) + ceiling.cost_of_units(beside, 0)
    cost = VersionedPrice.of(FULL).cost(tokens)
    assert cost <= reserved <= 5 * cost
    assert (ceiling.cost(0, 0, 0), ceiling.cost_of_units("", 0)) == (5 * money.MICRO, 0)


def test_a_context_tier_is_reserved_from_its_length_on() -> None:
    ceiling = Ceiling([policy.Target(id="a", prices=[FULL])])
    without_audio = policy.Price(input=2 * MILLION, output=0, tiers=FULL.tiers)
    plain = Ceiling([policy.Target(id="a", prices=[without_audio])])
    assert [plain.cost(each, 0, 0) for each in (100, 101, 201)] == [200_000, 2_020_000, 6_030_000]
    assert ceiling.cost(10, 0, 0) == 10 * 40_000 + 5_000  # any of them may be audio
