"""The control plane's cost of a request equals a translator's bill."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator.ledger import prices as billing
from translator.ledger.usage import Tokens
from xds_server.messages import Encoder
from xds_server.prices import ContextTier, ImagePrice, ServiceTier, TargetPrice, TokenRates
from xds_server.routing.pricing import RequestUsage, Tariff

PRICE = Encoder(TargetPrice, policy.Price)

rate = st.integers(0, 10**7)
own_rate = st.none() | rate
rates = st.builds(TokenRates, rate, rate, own_rate, own_rate, own_rate, own_rate, own_rate, own_rate)
context_tiers = st.lists(
    st.builds(ContextTier, st.integers(1, 2_000), rates), max_size=3, unique_by=lambda each: each.above
).map(lambda tiers: tuple(sorted(tiers, key=lambda each: each.above)))
prices = st.builds(
    TargetPrice,
    input=rate, output=rate, cached_input=own_rate, request=rate, cache_write=own_rate, cache_write_1h=own_rate,
    reasoning=own_rate, audio_input=own_rate, audio_output=own_rate, audio_second_input=rate,
    audio_second_output=rate, character=rate, search_unit=rate,
    images=st.lists(st.builds(ImagePrice, st.just("default"), rate), max_size=1).map(tuple),
    tiers=context_tiers,
    service_tiers=st.lists(st.builds(ServiceTier, st.just("flex"), rates, context_tiers), max_size=1).map(tuple),
)  # fmt: skip
count = st.integers(0, 3_000)


@pytest.mark.slow
@example(
    TargetPrice(0, 0, search_unit=10**7), *[0] * 12, 3_000, ""
)  # beyond the most that is billed for one request
@given(prices, *[count] * 13, st.sampled_from(["", "flex", "priority"]))
def test_a_request_costs_what_it_is_billed(
    price: TargetPrice, rest: int, completion: int, cached: int, write: int, write_1h: int, reasoning: int,
    audio: int, audio_out: int, images: int, in_ms: int, out_ms: int, characters: int, searches: int, tier: str,
) -> None:  # fmt: skip
    prompt = rest + cached + write + write_1h + audio
    used = RequestUsage(
        prompt, completion, cached, write, write_1h, reasoning, audio, audio_out, images, in_ms, out_ms,
        characters, searches, tier,
    )  # fmt: skip
    tokens = Tokens(
        prompt, cached, completion, reasoning, cache_write=write, cache_write_1h=write_1h, audio_input=audio,
        audio_output=audio_out, images=images, audio_in_ms=in_ms, audio_out_ms=out_ms, characters=characters,
        search_units=searches, tier=tier,
    )  # fmt: skip
    billed = billing.VersionedPrice.of(PRICE(price)).cost(tokens)
    assert abs(Tariff(price).nano_usd(used) - billed) <= 1
