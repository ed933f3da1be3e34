"""Requests that do not fit every target: their tokens, and their price."""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.test_metering import Edge, reserved
from translator.errors import Refusal

#: Micro-USD per million tokens.
CHEAP = policy.Price(input=1_000_000, output=2_000_000)
DEAR = policy.Price(input=10_000_000, output=20_000_000)
#: About a thousand tokens, and certainly a quarter of them.
PROMPT = [{"role": "user", "content": "x" * 4_000}]


def edge(*targets: policy.Target, max_price: int = 0) -> Edge:
    holder, way = policies.key(), policies.route()
    holder.max_price = max_price
    way.targets.extend(targets)
    return Edge(policies.store(policies.organisation(), holder, way))


def target(name: str, context: int = 0, price: policy.Price | None = None) -> policy.Target:
    return policy.Target(id=name, context=context, prices=[price] if price else [])


def refused(tried: Edge, **values: Any) -> Refusal:
    before = tried.limiter.outstanding
    with pytest.raises(Refusal) as caught:
        tried.ask(**values)
    assert caught.value.status == 400
    assert tried.limiter.outstanding == before
    return caught.value


class TestContext:
    def test_a_request_that_fits_may_go_anywhere(self) -> None:
        tried = edge(target("a/small", 2_000), target("b/large", 100_000), target("c/unknown"))
        assert not tried.ask(messages=PROMPT, max_tokens=100).excluded

    def test_the_prompt_and_the_stated_maximum_count(self) -> None:
        tried = edge(target("a/small", 2_000), target("b/large", 100_000), target("c/unknown"))
        assert tried.ask(messages=PROMPT, max_tokens=1_500).excluded == "a/small"
        assert tried.ask(messages=PROMPT * 3).excluded == "a/small"
        assert tried.ask(messages=PROMPT, max_tokens=200_000).excluded == "a/small\tb/large"

    def test_each_answer_has_a_context_of_its_own(self) -> None:
        tried = edge(target("a/small", 2_000), target("b/large", 100_000))
        assert not tried.ask(messages=PROMPT, max_tokens=500, n=10).excluded

    def test_what_fits_nowhere_is_refused_by_name(self) -> None:
        tried = edge(target("a/small", 200), target("b/large", 300))
        refusal = refused(tried, messages=PROMPT * 4)
        assert refusal.code == "context_length_exceeded"
        assert "300 tokens" in refusal.message
        assert refused(tried, max_tokens=400).code == "context_length_exceeded"

    def test_what_may_fit_after_all_is_tried_where_it_may(self) -> None:
        tried = edge(target("a/small", 200), target("b/large", 900))
        assert tried.ask(messages=PROMPT).excluded == "a/small"

    def test_media_are_not_certain(self) -> None:
        tried = edge(target("a/small", 100), target("b/large", 200))
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        assert not tried.ask(messages=[{"role": "user", "content": [image]}]).excluded

    @pytest.mark.parametrize(
        ("path", "values"),
        [
            (b"/v1/embeddings", {"input": ["x" * 4_000] * 9}),
            (b"/v1/completions", {"prompt": ["x" * 4_000] * 9}),
            (b"/v1/rerank", {"query": "x", "documents": ["x" * 4_000] * 9}),
            (b"/v1/responses", {"input": "x" * 36_000, "truncation": "auto"}),
        ],
    )
    def test_what_no_single_context_holds_is_not_bounded(self, path: bytes, values: dict[str, Any]) -> None:
        assert not edge(target("a/small", 2_000)).ask(target=path, **values).excluded

    @pytest.mark.parametrize(
        ("path", "values"),
        [
            (b"/v1/embeddings", {"input": "x" * 36_000}),
            (b"/v1/completions", {"prompt": "x" * 36_000}),
            (b"/v1/completions", {"prompt": [1] * 9_000}),
            (b"/v1/responses", {"input": [{"role": "user", "content": "x" * 36_000}], "truncation": "disabled"}),
        ],
    )
    def test_every_endpoint_is_guarded(self, path: bytes, values: dict[str, Any]) -> None:
        tried = edge(target("a/small", 500), target("b/large", 100_000))
        assert tried.ask(target=path, **values).excluded == "a/small"
        assert refused(edge(target("a/small", 500)), target=path, **values).code == "context_length_exceeded"

    def test_clusters_are_named_as_in_envoy(self) -> None:
        tried = edge(target("nodes/ä%b@c", 10), target("p/ä@c", 10), target("b/large"))
        assert tried.ask(max_tokens=400).excluded.encode("latin-1").decode() == "nodes/ä%25b%40c\tp/ä@c"


class TestMaxPrice:
    def test_targets_above_the_maximum_are_passed_over(self) -> None:
        tried = edge(target("a/dear", 0, DEAR), target("b/cheap", 0, CHEAP), target("c/free"))
        allowed = tried.ask(max_price=b"0.001", max_tokens=400)
        assert allowed.excluded == "a/dear"
        held = reserved(allowed)
        assert held.cost == held.prompt * 1_000 + 400 * 2_000
        assert not tried.ask(max_tokens=400).excluded

    def test_a_request_that_is_too_expensive_everywhere_is_refused(self) -> None:
        tried = edge(target("a/dear", 0, DEAR), target("b/cheap", 0, CHEAP))
        refusal = refused(tried, max_price=b"0.0001", max_tokens=400)
        assert refusal.code == "max_price_exceeded"
        prompt = 10
        assert f"{(400 * 2 + prompt) / 1e6:.6f}"[:6] in refusal.message
        assert "0.0001 USD" in refusal.message

    def test_the_key_has_a_maximum_and_the_lower_one_counts(self) -> None:
        tried = edge(target("a/dear", 0, DEAR), target("b/cheap", 0, CHEAP), max_price=1_000)
        assert tried.ask(max_tokens=400).excluded == "a/dear"
        assert tried.ask(max_tokens=400, max_price=b"100").excluded == "a/dear"
        assert refused(tried, max_tokens=4_000).code == "max_price_exceeded"
        assert refused(tried, max_tokens=400, max_price=b"0").code == "max_price_exceeded"

    @pytest.mark.parametrize("sent", [b"x", b"-1", b"1e3", b"0.5, 0.6", b"1.", b"1" * 10, b"\xff", b"nan"])
    def test_what_is_no_amount_is_refused(self, sent: bytes) -> None:
        assert refused(edge(target("a/free")), max_price=sent).code == "invalid_max_price"

    def test_context_and_price_are_both_kept(self) -> None:
        tried = edge(target("a/dear", 100_000, DEAR), target("b/cheap", 100, CHEAP))
        assert refused(tried, max_price=b"0.001", max_tokens=400).code == "max_price_exceeded"

    def test_asked_again_the_answer_is_the_same(self) -> None:
        tried = edge(target("a/dear", 0, DEAR), target("b/cheap", 0, CHEAP))
        first = tried.ask("id-1", max_price=b"0.001", max_tokens=400)
        assert tried.ask("id-1", max_price=b"0.001", max_tokens=400) == first


class TestPinnedTargets:
    def edge(self, *, pins: bool = True, models: tuple[str, ...] = ("*",)) -> Edge:
        holder, way = policies.key(models=models), policies.route()
        holder.pins_targets = pins
        way.targets.extend([target("a/gpt-4.1", price=CHEAP), target("b/gpt@4.1", price=DEAR)])
        way.affinity = policy.AFFINITY_CONVERSATION
        way.cache_ttl_seconds = 60
        way.queue_longest_ms = 1_000
        return Edge(policies.store(policies.organisation(), holder, way))

    def test_a_request_goes_to_the_target_that_it_names_alone(self) -> None:
        tried = self.edge()
        assert tried.ask(model="gpt-4.1@b/gpt@4.1").excluded == "a/gpt-4.1"
        assert tried.ask(model="gpt-4.1@a/gpt-4.1").excluded == "b/gpt@4.1"
        assert not tried.ask(model="gpt-4.1").excluded

    def test_it_reserves_what_that_target_costs_in_the_route_s_own_name(self) -> None:
        tried = self.edge()
        cheap = reserved(tried.ask(model="gpt-4.1@a/gpt-4.1", max_tokens=100))
        dear = reserved(tried.ask(model="gpt-4.1@b/gpt@4.1", max_tokens=100))
        assert (cheap.model, dear.model) == ("gpt-4.1", "gpt-4.1")
        assert dear.cost == 10 * cheap.cost

    def test_another_target_never_answers_in_its_place(self) -> None:
        """No cached answer is used, no former target of the conversation, and no queue for the first
        free target.
        """
        tried = self.edge()
        key = tried.store.key_by_id("key_ci")
        assert key is not None
        way, pinned = (tried.store.route(key, model) for model in ("gpt-4.1", "gpt-4.1@b/gpt@4.1"))
        assert way is not None
        assert pinned is not None
        assert all((way.affinity, way.cache, way.queue))
        assert not any((pinned.affinity, pinned.cache, pinned.queue))
        assert tried.ask(messages=PROMPT).affinity
        assert not tried.ask(model="gpt-4.1@b/gpt@4.1", messages=PROMPT).affinity

    @pytest.mark.parametrize(
        "model", ["gpt-4.1@c/x", "gpt-4.1@", "@a/gpt-4.1", "other@a/gpt-4.1", "g" * 9_000 + "@b"]
    )
    def test_a_target_that_the_route_has_not_is_no_model(self, model: str) -> None:
        with pytest.raises(Refusal) as caught:
            self.edge().ask(model=model)
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")

    def test_an_ordinary_key_gains_nothing(self) -> None:
        for tried in (self.edge(pins=False), self.edge(models=("gpt-3*",))):
            with pytest.raises(Refusal) as caught:
                tried.ask(model="gpt-4.1@b/gpt@4.1")
            assert (caught.value.status, caught.value.code) == (404, "model_not_found")
