"""An invalid answer is a failure: the next target serves, the client pays nothing for it, and
nothing of it leaks.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.waiting import until_answered

pytestmark = pytest.mark.usefixtures("well_behaved")

KEY = "sk-provider-a"
#: How `trunkline requests show` says why an attempt failed, by the name of its answer.
REASONS = {
    "token": "refused the gateway's credential (498)",
    "payment": "refused the gateway's account: unpaid (402)",
    "model": "does not know the model (404)",
    "page": "an invalid answer",
}


#: For targets that stay silent: others get the time that they need on a busy machine.
BRIEF = {"first_byte": "5s"}


@pytest.fixture(scope="module")
def nobody() -> Iterator[int]:
    """A port that is bound but has no listener."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess, nobody: int) -> dict[str, Any]:
    def target(name: str, tier: int, model: str = "m") -> dict[str, Any]:
        return {"provider": name, "model": model, "tier": tier, "price": {"input": 1, "output": 1}}

    return {
        "version": 1,
        "providers": [
            provider_entry(provider_a),
            provider_entry(provider_b),
            *({**provider_entry(provider_a), "name": f"a-{case}"} for case in CASES),
            {"name": "nobody", "base_url": f"http://127.0.0.1:{nobody}/v1"},
        ],
        "routes": [
            {"model": "two", "targets": [target("a", 0), target("b", 1)]},
            {"model": "two-impatient", "targets": [target("a", 0), target("b", 1)], "timeouts": BRIEF},
            {"model": "lone", "targets": [target("a", 0)]},
            {"model": "lone-impatient", "targets": [target("a", 0)], "timeouts": BRIEF},
            {"model": "gone", "targets": [target("nobody", 0)]},
            {"model": "renamed", "targets": [target("a", 0, "a much longer name"), target("b", 1, "renamed")]},
            *(
                {"model": f"{model}-{case}", "targets": [target(f"a-{case}", 0), *others]}
                for case in CASES
                for model, others in (("two", [target("b", 1)]), ("lone", []))
            ),
        ],
    }


def raw(status: str, kind: str, body: str, *headers: str) -> str:
    lines = (f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}", *headers)
    return "\r\n".join((*lines, "", body))


class Given:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self) -> str:
        found = json.loads(self.body)
        return str(found["error"]["code"] if "error" in found else found["detail"])


async def ask(gateway: GatewayProcess, model: str, *, stream: bool = False) -> Given:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.api_key}"}) as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body, allow_redirects=False) as answer,
    ):
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Given(answer.status, headers, await answer.read())


ERROR = '{"error":{"message":"no","type":"x","code":"theirs"}}'
NO_ANSWERS = {
    "redirect": (raw("307", "text/plain", "", "location: http://127.0.0.1:9/steal"), "upstream_invalid_answer"),
    "created": (raw("226", "application/json", "{}"), "upstream_invalid_answer"),
    "beyond": (raw("799", "application/json", "{}"), "upstream_invalid_answer"),
    "nothing": (raw("200", "application/json", ""), "upstream_invalid_answer"),
    "no content": ("HTTP/1.1 204 X\r\n\r\n", "upstream_invalid_answer"),
    "page": (raw("200", "text/html", "<html>sign in</html>"), "upstream_invalid_answer"),
    "an error": (raw("200", "application/json", ERROR), "theirs"),
    "payment": (raw("402", "application/json", ERROR), "upstream_authentication_failed"),
    "token": (raw("498", "application/json", ERROR), "upstream_authentication_failed"),
    "model": (
        raw("404", "application/json", ERROR.replace("theirs", "model_not_found")), "upstream_model_not_found",
    ),
    "model in a 400": (
        raw("400", "application/json", ERROR.replace("theirs", "model_not_found")), "upstream_model_not_found",
    ),
    "page as json": (raw("200", "application/json", "<html>sign in</html>"), "upstream_invalid_answer"),
    "stream": (raw("200", "text/event-stream", f"data: {ERROR}\n\n"), "theirs"),
    "empty stream": (raw("200", "text/event-stream", ""), "upstream_invalid_answer"),
    "in a list": (raw("200", "application/json", f"[{ERROR}\n]\n"), "theirs"),
    "as text": (raw("200", "text/plain", ERROR), "theirs"),
    "returns": (raw("200", "text/event-stream", f"event: error\rdata: {ERROR}\r\r"), "theirs"),
    "a reason": (raw("200", "application/json", '{"detail":"Not authenticated"}'), "Not authenticated"),
}  # fmt: skip


def case(kind: str, name: str) -> str:
    """Returns the end of the name of a case's own provider, which does not rest because of other cases."""
    return f"{kind}-{re.sub('[^a-z0-9]', '-', name)}"


@pytest.mark.parametrize("name", NO_ANSWERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_target_serves(
    gateway: GatewayProcess, provider_a: ProviderProcess, name: str, stream: bool
) -> None:
    given, code = NO_ANSWERS[name]
    own = case("stream" if stream else "plain", name)
    await provider_a.abehave("raw", raw=given)
    provider_a.clear()
    served = await ask(gateway, f"two-{own}", stream=stream)
    assert (served.status, served.headers["x-trunkline-target"]) == (200, "b/m")
    assert len(await provider_a.arequests()) == 1
    alone = await ask(gateway, f"lone-{own}", stream=stream)
    assert (alone.status, alone.code) == (502, code)
    assert "location" not in alone.headers


@pytest.mark.parametrize(("name", "sentence"), REASONS.items())
async def test_requests_show_says_why_an_attempt_failed(
    gateway: GatewayProcess, provider_a: ProviderProcess, name: str, sentence: str
) -> None:
    """Of the attempt that moved on as of the only one, whose client got a 502."""
    await provider_a.abehave("raw", raw=NO_ANSWERS[name][0])
    for model, status in (("two", 200), ("lone", 502)):
        given = await ask(gateway, f"{model}-{case('shown', name)}")
        assert given.status == status
        id_ = given.headers["x-request-id"]

        async def is_explained(id_: str = id_) -> bool:
            shown = await asyncio.to_thread(gateway.run, "requests", "show", id_, check=False)
            return sentence in shown.stdout

        assert await until_answered(is_explained)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_target_gets_the_whole_body_of_its_own_length(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess, stream: bool
) -> None:
    """The first target has another name for the model, so that its body is longer than the client's."""
    await provider_a.abehave("status:503")
    provider_b.clear()
    served = await asyncio.wait_for(ask(gateway, "renamed", stream=stream), 120)
    assert (served.status, served.headers["x-trunkline-target"]) == (200, "b/renamed")
    (request,) = await provider_b.arequests()
    assert request.json()["model"] == "renamed"
    assert request.body is not None
    assert request.header("content-length") == str(len(request.body))


HEAD = "HTTP/1.1 200 X\r\ncontent-type: application/json\r\n"
ANSWER = '{"choices":[{"index":0}]}'
NOT_HTTP = {
    "long header": f"{HEAD}x-long: {'a' * 100_000}\r\ncontent-length: 25\r\n\r\n{ANSWER}",
    "many headers": f"{HEAD}{''.join(f'x-{n}: 1{chr(13)}{chr(10)}' for n in range(1_000))}\r\n{ANSWER}",
    "chunks without a size": f"{HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n{ANSWER}\r\n",
    "a chunk's negative size": f"{HEAD}transfer-encoding: chunked\r\n\r\n-5\r\n{ANSWER}\r\n",
    "two ways to tell the length": f"{HEAD}transfer-encoding: chunked\r\ncontent-length: 25\r\n\r\n{ANSWER}",
    "two lengths": f"{HEAD}content-length: 25\r\ncontent-length: 24\r\n\r\n{ANSWER}",
    "a negative length": f"{HEAD}content-length: -25\r\n\r\n{ANSWER}",
    "a length beyond the answer": f'{HEAD}content-length: 1000\r\n\r\n{{"id":"x",',
    "another protocol": "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "no status": "HTTP/1.1 abc\r\n\r\n",
    "a zero byte": f"{HEAD}x-zero: a\0b\r\ncontent-length: 25\r\n\r\n{ANSWER}",
    "no head": ANSWER,
    "bytes": "\x16\x03\x01\x00\xff" * 20,
}  # fmt: skip


CASES = [
    *(case(kind, name) for kind in ("plain", "stream") for name in NO_ANSWERS),
    *(case("shown", name) for name in REASONS),
    *(case("not-http", name) for name in [*NOT_HTTP, "hints"]),
]


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_the_next_target_serves_where_one_does_not_speak_http(
    gateway: GatewayProcess, provider_a: ProviderProcess, name: str
) -> None:
    await provider_a.abehave("raw", raw=NOT_HTTP[name], closes=True)
    served = await ask(gateway, f"two-{case('not-http', name)}")
    assert (served.status, served.headers["x-trunkline-target"]) == (200, "b/m")
    alone = await ask(gateway, f"lone-{case('not-http', name)}")
    assert alone.status in {502, 503, 504}
    assert alone.code


async def test_no_other_target_is_tried_after_an_interim_answer(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """Envoy does not retry then, since its client may have got the interim answer."""
    await provider_a.abehave("raw", raw="HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 5_000, closes=True)
    for model in ("two", "lone"):
        given = await ask(gateway, f"{model}-{case('not-http', 'hints')}")
        assert given.status in {502, 503, 504}
        assert given.code


async def test_an_answer_in_http_1_0_is_an_answer(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    text = f"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{ANSWER}"
    await provider_a.abehave("raw", raw=text, closes=True)
    given = await ask(gateway, "lone")
    assert (given.status, given.body.decode()) == (200, ANSWER)


async def test_an_answer_that_breaks_in_the_middle_ends_visibly(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    text = f"{HEAD}transfer-encoding: chunked\r\n\r\n17\r\n{ANSWER[:-2]}\r\n"
    await provider_a.abehave("raw", raw=text, closes=True)
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(gateway, "lone")


@pytest.mark.parametrize("status", ["408", "421", "425"])
async def test_other_trouble_of_the_provider(
    gateway: GatewayProcess, provider_a: ProviderProcess, status: str
) -> None:
    await provider_a.abehave("raw", raw=raw(status, "application/json", ERROR))
    assert (await ask(gateway, "two")).status == 200
    assert (await ask(gateway, "lone")).status == int(status)


async def test_a_clients_own_404_goes_back_as_it_is(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    text = '{"error":{"message":"Previous response with id \'resp_1\' not found.","code":"previous"}}'
    await provider_a.abehave("raw", raw=raw("404", "application/json", text))
    given = await ask(gateway, "lone")
    assert (given.status, given.body.decode(), given.headers["x-trunkline-target"]) == (404, text, "a/m")


async def test_headers_and_then_silence_are_no_stream(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("headers_then_silence")
    served = await ask(gateway, "two-impatient", stream=True)
    assert (served.status, served.headers["x-trunkline-target"]) == (200, "b/m")


async def test_answers_carry_only_what_a_client_needs(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    gone = (
        "location: http://x", "alt-svc: h3=x", "strict-transport-security: max-age=1", "clear-site-data: *",
        "access-control-allow-origin: *", "set-cookie: a=b", "x-other: 1", "x-request-id: req_theirs",
    )  # fmt: skip
    await provider_a.abehave("raw", raw=raw("200", "application/json", '{"choices":[]}', *gone))
    given = await ask(gateway, "lone")
    assert given.status == 200
    assert not {line.partition(":")[0] for line in gone} - {"x-request-id"} & given.headers.keys()
    assert given.headers["x-trunkline-upstream-request-id"] == "req_theirs"
    assert given.headers["x-request-id"] != "req_theirs"


@pytest.mark.parametrize("status", ["200", "400", "500"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_the_gateways_credential_reaches_no_client(
    gateway: GatewayProcess, provider_a: ProviderProcess, status: str, kind: str
) -> None:
    text = f'data: {{"choices":[{{"text":"Incorrect key {KEY}, or sk\\u002dprovider-a"}}]}}\n\n'
    text = text if kind == "text/event-stream" else text.removeprefix("data: ").rstrip()
    await provider_a.abehave("raw", raw=raw(status, kind, text), pieces=len(text), interval_ms=1)
    given = await ask(gateway, "lone", stream=kind == "text/event-stream")
    assert given.status == int(status)
    assert given.body.decode() == text.replace(KEY, "*" * 13).replace("sk\\u002dprovider-a", "*" * 18)


@pytest.mark.parametrize("status", ["400", "404", "422", "500"])
async def test_nor_does_it_in_a_compressed_error(
    gateway: GatewayProcess, provider_a: ProviderProcess, status: str
) -> None:
    await provider_a.abehave("raw", raw=raw(status, "application/json", f'"{KEY}"', "content-encoding: gzip"))
    given = await ask(gateway, "lone")
    assert (given.status, given.code) == (int(status), "upstream_error")
    assert "content-encoding" not in given.headers
    assert KEY not in given.body.decode()


def assert_no_place(given: Given, port: int) -> None:
    assert given.status in {502, 503, 504}
    for word in ("127.0.0.1", str(port), "upstream_reset", "connection_failure", "delayed", "errno"):
        assert word not in given.body.decode()


@pytest.mark.parametrize("mode", ["reset", "hang"])
async def test_no_error_says_where_the_target_is(
    gateway: GatewayProcess, provider_a: ProviderProcess, mode: str
) -> None:
    await provider_a.abehave(mode)
    assert_no_place(await asyncio.wait_for(ask(gateway, "lone-impatient"), 120), provider_a.port)


async def test_no_error_says_where_nobody_listens(gateway: GatewayProcess, nobody: int) -> None:
    assert_no_place(await asyncio.wait_for(ask(gateway, "gone"), 120), nobody)
