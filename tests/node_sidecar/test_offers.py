from __future__ import annotations

from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.offers import MAX_OFFERS, offers
from node_sidecar.preferences.model import OfferPrice, Preferences, UpstreamPreference
from node_sidecar.probes.kind import Model, Observation
from node_sidecar.probes.watch import WatchedServer


def _server(*models: Model, kind: str = "vllm", healthy: bool = True) -> WatchedServer:
    server = WatchedServer(UpstreamPreference("http://127.0.0.1:1", kind=kind))
    server.health.observed(0.0, Observation(models, healthy=healthy))
    return server


def test_a_model_is_offered_with_its_owners_price() -> None:
    made, left_out = offers([_server(Model("m", 4096))], Preferences(prices={"m": OfferPrice(1, 2)}))
    assert made == (
        wire.Offer(
            model="m",
            context_length=4096,
            capabilities=["chat", "completions"],
            healthy=True,
            input_price=1,
            output_price=2,
            server="vllm",
            concurrency_limit=256,
        ),
    )
    assert left_out == 0


def test_a_model_on_two_servers_is_one_offer_with_what_both_can() -> None:
    first = _server(Model("m", 8192, ("chat", "completions", "tools")))
    second = _server(Model("m", 4096, ("chat", "completions")), kind="ollama")
    (made,), _ = offers([first, second], Preferences())
    assert (made.context_length, list(made.capabilities)) == (4096, ["chat", "completions"])


def test_a_failing_server_leaves_the_offer_to_the_other() -> None:
    first = _server(Model("m", 1024), healthy=False)
    second = _server(Model("m", 4096), kind="ollama")
    (made,), _ = offers([first, second], Preferences())
    assert (made.healthy, made.context_length, made.server) == (True, 4096, "ollama")
    (alone,), _ = offers([first], Preferences())
    assert (alone.healthy, alone.context_length, alone.server) == (False, 1024, "vllm")


def test_a_loading_model_is_not_healthy() -> None:
    (made,), _ = offers([_server(Model("m", loading=True))], Preferences())
    assert not made.healthy


def test_the_owner_chooses_the_models() -> None:
    made, left_out = offers([_server(Model("a"), Model("b"))], Preferences(models=("a",)))
    assert [offer.model for offer in made] == ["a"]
    assert left_out == 0


def test_too_many_and_too_long_names_are_left_out() -> None:
    names = [f"m{number:04}" for number in range(MAX_OFFERS + 10)]
    models = [Model(name) for name in (*names, "x" * 257, "", "\ud800")]
    made, left_out = offers([_server(*models)], Preferences())
    assert [offer.model for offer in made] == names[:MAX_OFFERS]
    assert left_out == 13


def test_what_the_owner_says_of_concurrency_is_the_nodes_alone() -> None:
    made, _ = offers([_server(Model("m", 4096))], Preferences(concurrency=3))
    assert [each.concurrency_limit for each in made] == [0]


def test_servers_of_one_model_add_up() -> None:
    made, _ = offers([_server(Model("m", 4096)), _server(Model("m", 4096))], Preferences())
    assert [each.concurrency_limit for each in made] == [512]
