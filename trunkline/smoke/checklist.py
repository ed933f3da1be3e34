"""The checks, in the order of the output. Each one tests a promise and reports what it saw."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.names import target_label
from trunkline.smoke.client import SmokeClient, SmokeResponse
from trunkline.smoke.demo_provider import DemoProvider
from trunkline.smoke.findings import SmokeFindings
from trunkline.smoke.sandbox import Sandbox

#: Statuses of a target whose model does not chat, or that refuses the request itself.
_NOT_CHAT = frozenset({400, 404, 405, 415, 422, 501})
_CACHE_SECONDS = 60
#: A changed route and a cached answer take effect a moment later; each early attempt costs a request upstream.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Served:
    """A target that answered, whether by `chat` or by embeddings, and the cost."""

    route: admin.Route
    target: admin.RouteTarget
    chat: bool
    cost_nano_usd: int


class Checklist:
    """Tests what `routes` promise, with the keys and routes of `sandbox`. Its requests are billed like any
    other.
    """

    def __init__(
        self, client: SmokeClient, sandbox: Sandbox, findings: SmokeFindings, routes: Sequence[admin.Route]
    ) -> None:
        self._client = client
        self._sandbox = sandbox
        self._findings = findings
        self._routes = routes
        self._key_id, self._key = sandbox.key("main")
        self._billed = 0

    def run(self) -> None:
        """Runs all checks. Raises ControlError if the gateway does not answer at all."""
        self.refusals()
        for number, route in enumerate(self._routes):
            served = self.targets(number, route)
            if served:
                self.costs(served)
                self.stream(number, served)
                self.failover(number, route, served)
                self.cache(number, served[0])
                self.limits(number, served[0])
        self.usage()

    def refusals(self) -> None:
        """Checks that a wrong key and a model that the key may not use are refused."""
        wrong = self._client.chat("sk-tl-smoke-0123456789abcdef", "smoke")
        self._findings.check(
            "refusal", "a wrong key", _unless(wrong, 401, "invalid_api_key"), "401 invalid_api_key"
        )
        # The key is new: until it has arrived everywhere, it is unknown too.
        unknown = self._sandbox.arrived(
            lambda: self._client.chat(self._key, f"{self._sandbox.name}/none"), on_its_way=[401]
        )
        problem = _unless(unknown, 404, "model_not_found")
        self._findings.check("refusal", "an unknown model", problem, "404 model_not_found")

    def targets(self, number: int, route: admin.Route) -> list[Served]:
        """Sends a request to each target through its own route. Returns the targets that answered."""
        served: list[Served] = []
        for at, target in enumerate(route.targets):
            subject = f"{route.model} at {target_label(target)}"
            if target.paused:
                self._findings.skip("target", subject, "it is paused")
                continue
            model = self._sandbox.route(f"{number}-{at}", route, [target])
            answer = self._sandbox.arrived(partial(self._client.chat, self._key, model))
            chat = answer.status not in _NOT_CHAT
            if not chat:
                embedded = self._client.embed(self._key, model)
                answer = embedded if embedded.status < 400 else answer
            cost = self._report("target", subject, answer, answer.problem or _unless_at(answer, target))
            if answer.status < 400:
                served.append(Served(route, target, chat, cost))
        return served

    def costs(self, served: Sequence[Served]) -> None:
        """Compares what the same request cost at each target."""
        priced = [each for each in served if each.cost_nano_usd]
        if len(priced) < 2:
            self._findings.skip("cost", served[0].route.model, "fewer than two targets have a price")
            return
        costs = ", ".join(f"{target_label(each.target)} {_usd(each.cost_nano_usd)}" for each in priced)
        self._findings.check("cost", served[0].route.model, "", f"the same request: {costs} USD")

    def stream(self, number: int, served: Sequence[Served]) -> None:
        """Checks a stream of the first target that chats."""
        each = next((each for each in served if each.chat), None)
        if each is None:
            return
        model = self._sandbox.route(f"{number}-stream", each.route, [each.target])
        answer = self._sandbox.arrived(partial(self._client.chat, self._key, model, stream=True))
        cut = "" if b"data: [DONE]" in answer.body else "the stream ended without [DONE]"
        subject = f"{each.route.model} at {target_label(each.target)}"
        self._report("stream", subject, answer, answer.problem or cut)

    def failover(self, number: int, route: admin.Route, served: Sequence[Served]) -> None:
        """Pauses the answering target in a copy of the route: another one has to answer."""
        if len(served) < 2:
            self._findings.skip("failover", route.model, "only one target answers")
            return
        targets = _copies(each.target for each in served)
        model = self._sandbox.route(f"{number}-failover", route, targets)
        first = self._sandbox.arrived(lambda: self._request(served[0], model))
        self._bill(first)
        for target in targets:
            target.paused = target_label(target) == first.target
        self._sandbox.route(f"{number}-failover", route, targets)
        for _ in range(_TRIES):
            second = self._request(served[0], model)
            if second.target != first.target:
                break
        problem = first.problem or second.problem
        if not problem and second.target == first.target:
            problem = f"{first.target} is paused and still answers"
        self._report(
            "failover", route.model, second, problem, f"{first.target} is paused: {second.target} answers"
        )

    def failure(self, route: admin.Route, first: DemoProvider) -> None:
        """Makes the provider of the first tier fail: another target has to answer the same request."""
        model = self._sandbox.route("failure", route, route.targets)
        first.fail(True)
        answer = self._sandbox.arrived(partial(self._client.chat, self._key, model))
        first.fail(False)
        place = target_label(route.targets[0])
        problem = answer.problem
        if not problem and (answer.target == place or answer.attempts < 2):
            problem = f"answered by {answer.target} after {answer.attempts} attempts"
        self._report("failure", route.model, answer, problem, f"{place} answers 500: {answer.target} answers")

    def cache(self, number: int, served: Served) -> None:
        """Sends an identical request twice: the second answer comes from the cache and costs nothing."""
        model = self._sandbox.route(f"{number}-cache", served.route, [served.target], cache_seconds=_CACHE_SECONDS)
        text = f"Answer with the single word: ready ({secrets.token_hex(8)})"

        def ask() -> SmokeResponse:
            if not served.chat:
                return self._client.post("/embeddings", self._key, {"model": model, "input": text})
            return self._client.chat(self._key, model, text=text)

        first = self._sandbox.arrived(ask)
        again = first
        for _ in range(_TRIES):
            again = ask()
            if again.headers.get("x-trunkline-cache") == "hit":
                break
        found = again.headers.get("x-trunkline-cache", "nothing")
        problem = first.problem or again.problem or ("" if found == "hit" else f"x-trunkline-cache says {found}")
        self._report(
            "cache", served.route.model, again, problem, f"{first.ms} ms, then {again.ms} ms from the cache"
        )

    def limits(self, number: int, served: Served) -> None:
        """Checks a key with one request a minute, and a key with almost no budget."""
        model = self._sandbox.route(f"{number}-limits", served.route, [served.target])
        name = served.route.model
        once = policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=1)
        _, key = self._sandbox.key(f"{number}-once", [once])
        first = self._sandbox.arrived(lambda: self._request(served, model, key))
        second = self._request(served, model, key)
        problem = first.problem or _unless(second, 429, "rate_limit_exceeded")
        after = second.headers.get("retry-after", "")
        self._findings.check(
            "rate limit", name, problem, f"one request a minute: 429, Retry-After {after} s", ms=second.ms
        )
        if not served.target.HasField("price") or not served.target.price.ByteSize():
            self._findings.skip("budget", name, f"{target_label(served.target)} has no price")
            return
        spent = policy.Limit(metric=policy.METRIC_COST_USD, per_seconds=86_400, amount=0)
        _, poor = self._sandbox.key(f"{number}-poor", [spent])
        refused = self._sandbox.arrived(lambda: self._request(served, model, poor))
        self._findings.check(
            "budget", name, _unless(refused, 429, "insufficient_quota"), "a spent budget: 429", ms=refused.ms
        )

    def usage(self) -> None:
        """Compares the usage report of the sandbox's key with the records of its requests."""
        filter_ = admin.UsageFilter(key_id=self._key_id, since=0, until=0)
        rows = self._sandbox.api.ReportUsage(
            admin.ReportUsageRequest(filter=filter_, by=[admin.DIMENSION_TARGET])
        ).rows
        reported = sum(row.cost_nano_usd for row in rows)
        shown = "; ".join(
            f"{row.values[0] or 'without a target'}: {row.requests} for {_usd(row.cost_nano_usd)} USD"
            for row in rows
        )
        problem = "" if reported >= self._billed else f"{reported} nano-USD reported, {self._billed} recorded"
        self._findings.check("usage report", self._sandbox.organisation, problem, shown, cost_nano_usd=reported)

    def _request(self, served: Served, model: str, key: str = "") -> SmokeResponse:
        key = key or self._key
        return self._client.chat(key, model) if served.chat else self._client.embed(key, model)

    def _report(self, check: str, subject: str, answer: SmokeResponse, problem: str, detail: str = "") -> int:
        """Adds a finding with the tokens and the cost of the request's usage record. Returns the cost."""
        record = self._bill(answer) if not problem else None
        if record is None:
            self._findings.check(check, subject, problem or "no usage record came", "", ms=answer.ms)
            return 0
        self._findings.check(
            check,
            subject,
            "",
            detail or f"answered by {answer.target}",
            ms=answer.ms,
            prompt=record.prompt_tokens,
            completion=record.completion_tokens,
            cost_nano_usd=record.cost_nano_usd,
        )
        return record.cost_nano_usd

    def _bill(self, answer: SmokeResponse) -> ledger.UsageRecord | None:
        """Returns the usage record of the request once it is stored; its cost is in `usage`."""
        record = self._sandbox.record(answer)
        if record is not None:
            self._billed += record.cost_nano_usd
        return record


def _usd(nano: int) -> str:
    return f"{nano / 1e9:.9f}"


def _copies(targets: Iterable[admin.RouteTarget]) -> list[admin.RouteTarget]:
    made = []
    for target in targets:
        copy = admin.RouteTarget()
        copy.CopyFrom(target)
        made.append(copy)
    return made


def _unless(answer: SmokeResponse, status: int, code: str) -> str:
    """Returns a problem unless the answer is this refusal."""
    if (answer.status, answer.error_code) == (status, code):
        return ""
    return f"expected {status} {code}, got {answer.problem or f'{answer.status} from {answer.target}'}"


def _unless_at(answer: SmokeResponse, target: admin.RouteTarget) -> str:
    return "" if answer.target == target_label(target) else f"answered by {answer.target or 'nobody'}"
