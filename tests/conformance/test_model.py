"""Whatever the interleaving, the client ends up with exactly what the server has."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from trunkline_proto.xds.v1 import discovery_pb2

from tests.conformance.driver import RESPONSES, Content, Request, Response, requested, snapshot_of
from xds_server.protocol.bounds import ResponseBounds
from xds_server.protocol.changes import changes_between
from xds_server.protocol.delta import DeltaStream
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.push import Push
from xds_server.protocol.returning import ReturningClients
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, ResourceSnapshot
from xds_server.protocol.sotw import SotwStream

NAMED, WHOLE = (ENDPOINT, ROUTE, SECRET), (CLUSTER, LISTENER)
NAMES = "abc"
BAD = "bad"


class Model:
    """A server, a client that refuses BAD content as a whole, and the two queues between them."""

    def __init__(self, mode: str) -> None:
        self.mode = "delta" if mode == "portions" else mode
        # Requests with one name each.
        self.portions = ResponseBounds(1, 1) if mode == "portions" else None
        self.snapshot = ResourceSnapshot(0)
        self.encoder = ResponseEncoder()
        self.returning = ReturningClients()
        self.state: dict[str, dict[str, tuple[str, str]]] = {type_url: {} for type_url in (*NAMED, *WHOLE)}
        self.versions: dict[str, str] = {}
        self.wanted: dict[str, set[str]] = {type_url: set() for type_url in NAMED}
        self.connect()

    def connect(self) -> None:
        self.stream = (
            DeltaStream(self.snapshot, self.encoder, secret=b"s", portions=self.portions)
            if self.mode == "delta"
            else SotwStream(self.snapshot, self.encoder, secret=b"s", returning=self.returning)
        )
        self.requests: deque[Request] = deque()
        self.responses: deque[Response] = deque()
        self.unanswered: Counter[str] = Counter()
        self.nonces: dict[str, str] = {}
        self.introduced = False
        self.begun: set[str] = set()
        for type_url in (*WHOLE, *NAMED):
            if type_url in WHOLE or self.wanted[type_url]:
                self.begin(type_url)

    def begin(self, type_url: str) -> None:
        self.begun.add(type_url)
        names = sorted(self.wanted.get(type_url, ()))
        state = self.state[type_url]
        if self.mode == "sotw":
            self.request_sotw(type_url)
            return
        self.send(
            discovery_pb2.DeltaDiscoveryRequest(
                node=self.node(),
                type_url=type_url,
                resource_names_subscribe=names,
                initial_resource_versions={name: version for name, (version, _) in state.items()},
            )
        )

    def request_sotw(self, type_url: str, *, refused: bool = False) -> None:
        self.send(
            discovery_pb2.DiscoveryRequest(
                node=self.node(),
                type_url=type_url,
                version_info=self.versions.get(type_url, ""),
                resource_names=sorted(self.wanted.get(type_url, ())),
                response_nonce=self.nonces.get(type_url, ""),
                error_detail=discovery_pb2.Status(message=BAD) if refused else None,
            )
        )

    def node(self) -> discovery_pb2.Node | None:
        introduced, self.introduced = self.introduced, True
        return None if introduced else discovery_pb2.Node(id="model")

    def send(self, request: Request) -> None:
        self.requests.append(request)

    def subscribe(self, type_url: str, name: str) -> None:
        if type_url not in self.begun:
            self.wanted[type_url].add(name)
            self.begin(type_url)
            return
        if self.mode == "delta":
            self.send(discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=[name]))
            self.wanted[type_url].add(name)
        elif name not in self.wanted[type_url]:
            self.wanted[type_url].add(name)
            self.request_sotw(type_url)

    def unsubscribe(self, type_url: str, name: str) -> None:
        if name not in self.wanted[type_url]:
            return
        self.wanted[type_url].discard(name)
        self.state[type_url].pop(name, None)
        if self.mode == "delta":
            self.send(discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_unsubscribe=[name]))
        else:
            self.request_sotw(type_url)

    def publish(self, content: Content) -> None:
        before, self.snapshot = self.snapshot, snapshot_of(self.snapshot.revision + 1, content)
        self.deliver(self.stream.on_snapshot(self.snapshot, changes_between(before, self.snapshot)))

    def deliver(self, pushes: list[Push]) -> None:
        for push in pushes:
            self.unanswered[push.type_url] += 1
            assert self.unanswered[push.type_url] == 1, f"two unanswered pushes of {push.type_url}"
            self.responses.append(RESPONSES[self.mode].FromString(push.payload))

    def server_step(self) -> None:
        if self.requests:
            request = self.requests.popleft()
            pending = next((t.unanswered for t in self.stream.progress() if t.type_url == request.type_url), "")
            if pending and request.response_nonce == pending:
                self.unanswered[request.type_url] -= 1
            self.deliver(requested(self.stream, request))

    def client_step(self) -> None:
        if not self.responses:
            return
        response = self.responses.popleft()
        type_url = response.type_url
        self.nonces[type_url] = response.nonce
        if isinstance(response, discovery_pb2.DeltaDiscoveryResponse):
            update = {r.name: (r.version, r.resource.value.decode().split("=", 1)[1]) for r in response.resources}
        else:
            pairs = (any_.value.decode().split("=", 1) for any_ in response.resources)
            update = {name: ("", text) for name, text in pairs}
        refused = any(text == BAD for _, text in update.values())
        if not refused:
            self.apply(type_url, update, response)
        if self.mode == "sotw":
            self.request_sotw(type_url, refused=refused)
        else:
            error = discovery_pb2.Status(message=BAD) if refused else None
            self.send(
                discovery_pb2.DeltaDiscoveryRequest(
                    type_url=type_url, response_nonce=response.nonce, error_detail=error
                )
            )

    def apply(self, type_url: str, update: Mapping[str, tuple[str, str]], response: Response) -> None:
        state = self.state[type_url]
        if isinstance(response, discovery_pb2.DiscoveryResponse):
            self.versions[type_url] = response.version_info
            if type_url in WHOLE:
                state.clear()
        else:
            for name in response.removed_resources:
                state.pop(name, None)
        wanted = update.keys() if type_url in WHOLE else self.wanted[type_url]
        state.update({name: value for name, value in update.items() if name in wanted})

    def drain(self) -> None:
        for _ in range(1000):
            if not self.requests and not self.responses:
                return
            self.server_step()
            self.client_step()
        pytest.fail("client and server never came to rest")

    def check(self) -> None:
        for type_url, state in self.state.items():
            there = {
                name: each.body.decode().split("=", 1)[1] for name, each in self.snapshot.of_type(type_url).items()
            }
            held = {name: text for name, (_, text) in state.items()}
            if type_url in NAMED:
                there = {name: text for name, text in there.items() if name in self.wanted[type_url]}
                if self.mode == "sotw":
                    held = {name: text for name, text in held.items() if name in there}
            assert held == there, type_url
        assert self.stream.settled(self.snapshot.revision)
        assert not any(each.waiting or each.unanswered or each.refusal for each in self.stream.progress())
        assert all(each.accepted_revision == self.snapshot.revision for each in self.stream.progress())


def contents(*texts: str) -> st.SearchStrategy[Content]:
    each = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(texts), max_size=3)
    return st.fixed_dictionaries(dict.fromkeys((*NAMED, *WHOLE), each))


named = st.tuples(st.sampled_from(NAMED), st.sampled_from(NAMES))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), contents("1", "2", BAD)),
        st.tuples(st.just("server_step")),
        st.tuples(st.just("client_step")),
        st.tuples(st.just("drain")),
        st.tuples(st.just("connect")),
        named.map(lambda pair: ("subscribe", *pair)),
        named.map(lambda pair: ("unsubscribe", *pair)),
    ),
    max_size=40,
)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["delta", "portions", "sotw"])
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, final=contents("1", "2", "3"))
def test_any_interleaving_converges(mode: str, steps: list[tuple[object, ...]], final: Content) -> None:
    model = Model(mode)
    for name, *arguments in steps:
        getattr(model, str(name))(*arguments)
    model.publish(final)
    model.drain()
    model.check()
