"""The node's offers: the models of its local servers that its owner offers, within the contract's bounds."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.concurrency import parallel
from node_sidecar.preferences.model import Preferences
from node_sidecar.probes.kind import Model, ordered
from node_sidecar.probes.watch import WatchedServer

#: The bounds in registry.proto.
MAX_OFFERS = 512
MAX_NAME = 256


def offers(servers: Iterable[WatchedServer], preferences: Preferences) -> tuple[tuple[wire.Offer, ...], int]:
    """Returns one offer for each model, ordered by name, and the number of models that could not be offered.

    A model on several servers has the smallest of their contexts, and the capabilities that all healthy ones
    share.
    """
    found: dict[str, list[tuple[WatchedServer, Model]]] = {}
    for server in servers:
        for model in server.health.models:
            if preferences.offers(model.name):
                found.setdefault(model.name, []).append((server, model))
    names = sorted(name for name in found if _fits(name))
    made = tuple(_offer(name, found[name], preferences) for name in names[:MAX_OFFERS])
    return made, len(found) - len(made)


def _fits(name: str) -> bool:
    """Returns whether the gateway would accept the name; it would refuse the whole report otherwise."""
    try:
        return 0 < len(name.encode()) <= MAX_NAME and name.isprintable()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return False


def _offer(name: str, held: list[tuple[WatchedServer, Model]], preferences: Preferences) -> wire.Offer:
    serving = [(server, model) for server, model in held if server.health.healthy and not model.loading]
    counted = serving or held
    contexts = [model.context_length for _, model in counted if model.context_length]
    capabilities = set(counted[0][1].capabilities)
    for _, model in counted[1:]:
        capabilities &= set(model.capabilities)
    price = preferences.price(name)
    return wire.Offer(
        model=name,
        context_length=min(contexts, default=0),
        capabilities=ordered(capabilities),
        healthy=bool(serving),
        input_price=price.input,
        output_price=price.output,
        server=counted[0][0].kind_name,
        concurrency_limit=sum(parallel(server) for server, _ in counted) if preferences.concurrency is None else 0,
    )
