"""The decision, and the answer to Envoy."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.policies import OTHER_VALUE, VALUE
from translator.authorise import Authoriser
from translator.checks.answers import Admitted, Allowed
from translator.endpoints import ENDPOINTS, BodyKind, Endpoint
from translator.errors import Refusal
from translator.limits import Limiter
from translator.message import Request
from translator.metering import Meter
from translator.policy.store import PolicyStore

NOW = 1_800_000_000.0
CHAT = b"/v1/chat/completions"


def ask(body: object = None, *, store: PolicyStore | None = None, **options: Any) -> Allowed:
    content = (
        body if isinstance(body, bytes) else json.dumps({"model": "gpt-4.1"} if body is None else body).encode()
    )
    decided = authoriser(store).decide(asked(content, **options))
    assert isinstance(decided, Allowed)
    return decided


def admit(**options: Any) -> Admitted:
    return authoriser().admit(asked(b"", **options))


def authoriser(store: PolicyStore | None = None) -> Authoriser:
    chosen = store or policies.default_store()
    meter = Meter(Limiter(chosen.limits_by_id), clock=lambda: NOW)
    return Authoriser(chosen, meter, lambda: NOW)


def asked(
    body: bytes, *, target: bytes = CHAT, method: str = "POST", value: str = VALUE, **headers: str
) -> Request:
    sent = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Request(method, target, {b"authorization": b"Bearer " + value.encode(), **sent}, body)


def refusal(*args: Any, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        ask(*args, **options)
    return caught.value


def test_a_request_is_let_through_with_its_route_and_ids() -> None:
    assert ask(b' {"model" : "gpt-4.1"}', target=CHAT + b"?x=%2F1", x_request_id="r-1") == Allowed(
        "rt_gpt",
        log_context=f"r-1 {NOW:.0f}000000 org_acme key_ci rt_gpt gpt-4.1 1029 0n 5 p - -",
        path="/chat/completions?x=%2F1",
        usage="-",
        model='12:9:j:"gpt-4.1"',
        headers={"x-request-id": "r-1"},
        account="org_acme/key_ci",
    )


@pytest.mark.parametrize("sent", ["", "with space", "x" * 129, "\x80"])
def test_an_id_that_cannot_be_written_is_replaced(sent: str) -> None:
    allowed = ask(x_request_id=sent)
    assert re.fullmatch(r"[0-9a-f]{32}", allowed.headers["x-request-id"])
    assert allowed.log_context.startswith(allowed.headers["x-request-id"] + " ")


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.body is BodyKind.JSON], ids=lambda each: each.path
)
def test_streams_are_told_apart_where_they_exist(endpoint: Any) -> None:
    allowed = ask({"model": "gpt-4.1", "stream": True}, target=endpoint.path.encode())
    assert allowed.route == ("rt_gpt:stream" if endpoint.streams else "rt_gpt")
    expected = '1:0:"stream_options":{"include_usage":true},' if endpoint.stream_usage else "-"
    assert allowed.usage == expected


def test_usage_is_not_asked_for_where_nothing_streams() -> None:
    assert ask({"model": "gpt-4.1", "stream": False}).usage == "-"


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.body is BodyKind.FORM], ids=lambda each: each.path
)
def test_forms(endpoint: Any) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4.1\r\n--b--\r\n'
    allowed = ask(body, target=endpoint.path.encode(), content_type="multipart/form-data; boundary=b")
    assert allowed.model == f"{body.index(b'gpt-4.1')}:7:f:gpt-4.1"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", [b"/v1/models", b"/v1/models/vendor/gpt-4.1", b"/v1/models?limit=1"])
def test_the_translator_answers_about_models_itself(target: bytes, method: str) -> None:
    allowed = ask(b"", target=target, method=method)
    assert (allowed.route, allowed.key, allowed.log_context, allowed.model) == ("translator", "key_ci", "", "")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"*",
        b"/v1",
        b"/v1/",
        b"/v1/models/",
        b"/v1/chat/completions/",
        b"//v1/chat/completions",
        b"/v1//chat/completions",
        b"/v1/../v1/chat/completions",
        b"/v1/chat%2fcompletions",
        b"/V1/chat/completions",
        b"/v1/chat/completions;x",
        b"/v1/chat/completions#x",
        b"/authorise/v1/chat/completions",
        b"/v1/chat/\xff",
    ],
)
def test_unknown_paths_are_refused(target: bytes) -> None:
    refused = refusal(target=target)
    assert (refused.status, refused.code) == (404, "unknown_url")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [(m, CHAT, "POST") for m in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "BREW")]
    + [(m, b"/v1/models", "GET, HEAD") for m in ("POST", "OPTIONS")]
    + [("DELETE", b"/v1/models/gpt-4.1", "GET, HEAD")],
)
def test_other_methods_are_refused(method: str, target: bytes, allow: str) -> None:
    refused = refusal(method=method, target=target)
    assert (refused.status, refused.code, dict(refused.headers)) == (405, "method_not_allowed", {"allow": allow})


@pytest.mark.parametrize("background", ["true", "1", '"true"', "{}"])
@pytest.mark.parametrize("rest", ["", ',"stream":true', ',"store":false'])
def test_background_responses_are_refused(background: str, rest: str) -> None:
    body = f'{{"model":"gpt-4.1","background":{background}{rest}}}'.encode()
    refused = refusal(body, target=b"/v1/responses")
    assert (refused.status, refused.code, refused.param) == (400, "unsupported_parameter", "background")


@pytest.mark.parametrize(
    ("target", "background"),
    [(b"/v1/responses", None), (b"/v1/responses", False), (b"/v1/images/generations", "transparent")],
)
def test_other_backgrounds_are_not(target: bytes, background: object) -> None:
    assert ask({"model": "gpt-4.1", "background": background}, target=target).route == "rt_gpt"


def test_a_model_that_does_not_exist_and_one_that_is_not_allowed_look_the_same() -> None:
    store = policies.store(
        policies.organisation(), policies.key(models=["gpt-*", "Mistral"]), policies.route(),
        policies.route("rt_c", "claude"), policies.route("rt_m", "mistral"),
    )  # fmt: skip
    assert ask(store=store).route == "rt_gpt"
    reported = []
    for model in ("claude", "nonesuch", "mistral"):
        refused = refusal({"model": model}, store=store)
        assert (refused.status, refused.code, refused.param) == (404, "model_not_found", "model")
        assert "GET /v1/models" in refused.message
        reported.append(refused.message.replace(model, "…"))
    assert len(set(reported)) == 1


def test_a_very_long_model_is_not_repeated_in_full() -> None:
    assert len(refusal({"model": "m" * 1_000_000}).message) < 1_000


def test_an_organisations_own_route_hides_the_global_one_from_its_keys_only() -> None:
    store = policies.store(
        policies.organisation(), policies.organisation("org_other"), policies.key(),
        policies.key("key_other", value=OTHER_VALUE, org="org_other"), policies.route(),
        policies.route("rt_own", org="org_acme"),
    )  # fmt: skip
    assert ask(store=store).route == "rt_own"
    assert ask(store=store, value=OTHER_VALUE).route == "rt_gpt"


def test_an_unknown_key() -> None:
    refused = refusal(value=OTHER_VALUE)
    assert (refused.status, refused.code) == (401, "invalid_api_key")
    assert "revoked" in refused.message


def test_a_revoked_key_stops_working_at_once() -> None:
    store = policies.default_store()
    ask(store=store)
    store.apply(policies.response(policies.KEY, removed=["key_ci"]))
    assert refusal(store=store).status == 401


@pytest.mark.parametrize(("expires_at", "passes"), [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_expiry(expires_at: float, *, passes: bool) -> None:
    store = policies.store(policies.organisation(), policies.key(expires_at=int(expires_at)), policies.route())
    if passes:
        ask(store=store)
    else:
        refused = refusal(store=store)
        assert (refused.status, refused.code) == (401, "api_key_expired")
        assert "expired" in refused.message


@pytest.mark.parametrize(
    ("expires_at", "former_until", "code"),
    [
        (0, NOW + 1, ""),
        (0, NOW, "api_key_rotated"),
        (NOW, NOW + 1, "api_key_expired"),
        (NOW + 2, NOW + 1, ""),
        (NOW + 2, NOW - 1, "api_key_rotated"),
        (NOW - 1, NOW - 2, "api_key_rotated"),
    ],
)
def test_the_secret_before_a_rotation(expires_at: float, former_until: float, code: str) -> None:
    key = policies.key(expires_at=int(expires_at), former=OTHER_VALUE, former_until=int(former_until))
    store = policies.store(policies.organisation(), key, policies.route())
    if not code:
        assert ask(store=store, value=OTHER_VALUE).route == ask(store=store, value=VALUE).route == "rt_gpt"
    else:
        refused = refusal(store=store, value=OTHER_VALUE)
        assert (refused.status, refused.code) == (401, code)


def test_expiry_and_grace_follow_the_clock_both_ways_and_need_no_push() -> None:
    now = [NOW]
    key = policies.key(expires_at=int(NOW) + 20, former=OTHER_VALUE, former_until=int(NOW) + 10)
    store = policies.store(policies.organisation(), key, policies.route())
    meter = Meter(Limiter(store.limits_by_id), clock=lambda: now[0])
    asked_of = Authoriser(store, meter, lambda: now[0])

    def codes() -> list[str]:
        found = []
        for value in (VALUE, OTHER_VALUE):
            try:
                asked_of.decide(asked(b'{"model": "gpt-4.1"}', value=value))
                found.append("")
            except Refusal as error:
                found.append(error.code)
        return found

    now[0] = NOW + 9.999
    assert codes() == ["", ""]
    now[0] = NOW + 10
    assert codes() == ["", "api_key_rotated"]
    now[0] = NOW + 10_000  # jumps ahead
    assert codes() == ["api_key_expired", "api_key_rotated"]
    now[0] = NOW  # and is set right
    assert codes() == ["", ""]


def test_both_secrets_are_one_key_to_limits() -> None:
    key = policies.key(former=OTHER_VALUE, former_until=int(NOW) + 10)
    key.limits.add(metric=policy.METRIC_CONCURRENCY, amount=1)
    store = policies.store(policies.organisation(), key, policies.route())
    meter = Meter(Limiter(store.limits_by_id), clock=lambda: NOW)
    asked_of = Authoriser(store, meter, lambda: NOW)
    asked_of.decide(asked(b'{"model": "gpt-4.1"}', value=VALUE))
    with pytest.raises(Refusal) as caught:
        asked_of.decide(asked(b'{"model": "gpt-4.1"}', value=OTHER_VALUE))
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")


def test_a_key_of_an_organisation_that_is_gone() -> None:
    assert refusal(store=policies.store(policies.key(), policies.route())).status == 401


def test_without_any_policy_the_service_says_that_it_is_not_ready_rather_than_that_the_key_is_wrong() -> None:
    refused = refusal(store=PolicyStore())
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 400), ("br, gzip", 400), ("identity", 200)])
def test_compressed_bodies_are_refused(encoding: str, status: int) -> None:
    if status == 200:
        ask(content_encoding=encoding)
    else:
        assert refusal(content_encoding=encoding).code == "unsupported_content_encoding"


def test_the_key_is_looked_at_before_the_body() -> None:
    assert refusal(b"{", value=OTHER_VALUE).status == 401


@pytest.mark.parametrize(
    ("audiences", "variant"),
    [
        ([], "rt_gpt"),
        (["org_other", "key_other"], "rt_gpt"),
        (["org_acme", "key_other"], "rt_gpt@org_acme"),
        (["org_acme", "key_ci"], "rt_gpt@key_ci"),
    ],
)
def test_the_audience_is_the_key_or_its_organisation(audiences: list[str], variant: str) -> None:
    route = policies.route()
    route.audiences.extend(audiences)
    store = policies.default_store()
    store.apply(policies.response(policies.ROUTE, route))
    allowed = ask(store=store)
    assert allowed.route == variant
    assert " rt_gpt " in allowed.log_context  # charged to the route that all callers share
    assert ask({"model": "gpt-4.1", "stream": True}, store=store).route == f"{variant}:stream"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"value": "sk-unknown-0123456789"}, 401),
        ({"value": ""}, 401),
        ({"target": b"/v1/unknown"}, 404),
        ({"target": b"/v1/models"}, 405),
        ({"method": "PUT"}, 405),
        ({"content_encoding": "gzip"}, 400),
        ({"target": b"/v1/audio/transcriptions", "content_type": "application/json"}, 400),
        ({"target": b"/v1/audio/transcriptions"}, 400),
    ],
)
def test_what_headers_decide_is_refused_before_the_body(options: dict[str, Any], status: int) -> None:
    with pytest.raises(Refusal) as caught:
        admit(**options)
    assert caught.value.status == status
    later = refusal(**options)
    assert (later.status, later.code, later.message) == (status, caught.value.code, caught.value.message)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": b"/v1/audio/transcriptions", "content_type": "multipart/form-data; boundary=b"},
        {"target": b"/v1/models", "method": "GET"},
    ],
)
def test_what_only_a_body_can_decide_is_admitted_on_account_of_its_key(options: dict[str, Any]) -> None:
    assert admit(**options) == Admitted("org_acme/key_ci")


def defaulting() -> PolicyStore:
    owner = policies.organisation()
    for endpoint in ("moderations", "images/edits"):
        owner.defaults.add(endpoint=endpoint, model="gpt-4.1")
    return policies.store(owner, policies.key(), policies.route())


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b' {"input": "x"}', "1:1:o:{"),
        (b'{"model": null, "input": "x"}', "10:4:j:null"),
        (b'{"model": "", "input": "x"}', '10:2:j:""'),
        (b'{"mod\\u0065l": null, "input": "x"}', "15:4:j:null"),
        (b'{"model": "gpt-4.1", "input": "x"}', '10:9:j:"gpt-4.1"'),
    ],
)
def test_a_request_that_names_no_model_takes_the_default(body: bytes, place: str) -> None:
    allowed = ask(body, store=defaulting(), target=b"/v1/moderations")
    assert (allowed.route, allowed.model) == ("rt_gpt", place)


def test_a_form_that_names_no_model_takes_the_default() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b--\r\n'
    options = {"target": b"/v1/images/edits", "content_type": "multipart/form-data; boundary=b"}
    assert ask(body, store=defaulting(), **options).model == "0:3:p:--b"


@pytest.mark.parametrize("body", [{"input": "x"}, {"model": None, "input": "x"}, {"model": "", "input": "x"}, {}])
@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/moderations"])
def test_without_a_default_a_request_has_to_name_a_model(body: object, target: bytes) -> None:
    refused = refusal(json.dumps(body).encode(), target=target)
    assert (refused.status, refused.param) == (400, "model")
    assert refused.code == "missing_model"
    if body:
        assert f"defaults: {{{target.decode().removeprefix('/v1/')}: MODEL}}" in refused.message


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.body is not BodyKind.NONE])
def test_the_query_names_no_model(endpoint: Endpoint) -> None:
    target = endpoint.path.encode() + b"?api-version=1&Model=o4"
    options = {"target": target, "content_type": "multipart/form-data; boundary=b"}
    assert refusal({"model": "gpt-4.1"}, **options).code == "ambiguous_parameter"
    with pytest.raises(Refusal) as caught:
        admit(**options)
    assert caught.value.param == "model"
