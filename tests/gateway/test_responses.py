"""Responses with state go to the target and credential that created them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

from tests.gateway.process import GatewayProcess
from tests.gateway.usage import ready
from tests.waiting import until_answered

CONVERSATIONS = 200
#: Conversations that their clients keep; each place gets one of 100 but for a chance of 1e-12.
KEPT = 100
SEALED = "reasoning.encrypted_content"


class Stateful:
    """A provider that separates responses by credential, and refuses unknown ones."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.strangers = 0
        #: Credentials that answered with reasoning which they alone can decrypt.
        self.sealing: set[str] = set()

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/responses", self._create)
        app.router.add_route("*", "/v1/responses/{id}", self._stored)
        app.router.add_route("*", "/v1/responses/{id}/{what}", self._stored)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}/v1"

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        credential = request.headers["authorization"]
        before = body.get("previous_response_id")
        if before and self.made.get(before) != credential:
            return self._unknown(400, "previous_response_not_found")
        items = body["input"] if isinstance(body["input"], list) else []
        if any(each.get("encrypted_content", credential) != credential for each in items):
            return self._unknown(400, "invalid_encrypted_content")
        made = f"resp_{id(self):x}{len(self.made):08d}"
        self.made[made] = credential
        if SEALED in body.get("include", ()):
            self.sealing.add(credential)
            sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": credential}
            return web.json_response({**response(made), "output": [sealed, *response(made)["output"]]})
        if not body.get("stream"):
            return web.json_response(response(made))
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for kind in ("response.created", "response.completed"):
            event = {"type": kind, "response": response(made)}
            await answer.write(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode())
        await answer.write_eof()
        return answer

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        made = request.match_info["id"]
        if self.made.get(made) != request.headers["authorization"]:
            return self._unknown(404, "not_found")
        return web.json_response(response(made))

    def _unknown(self, status: int, code: str) -> web.Response:
        self.strangers += 1
        error = {"message": "Not here.", "type": "invalid_request_error", "param": None, "code": code}
        return web.json_response({"error": error}, status=status)


def response(made: str) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    part = {"type": "output_text", "text": "Hi.", "annotations": []}
    output = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}]
    return {
        "id": made,
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": output,
        "usage": usage,
    }


@pytest_asyncio.fixture
async def providers() -> AsyncIterator[tuple[Stateful, Stateful]]:
    pair = Stateful(), Stateful()
    yield pair
    for each in pair:
        await each.runner.cleanup()


async def test_they_go_where_they_were_made(tmp_path: Path, providers: tuple[Stateful, Stateful]) -> None:
    urls = [await each.start() for each in providers]
    config: dict[str, Any] = {
        "version": 1,
        "providers": [
            {"name": name, "dialect": "openai", "base_url": url, "credentials": [f"env:{name}1", f"env:{name}2"]}
            for name, url in zip("ab", urls, strict=True)
        ],
        "routes": [{"model": "m", "targets": [{"provider": name, "model": "m", "weight": 50} for name in "ab"]}],
        "organisations": [
            {"name": name, "keys": [{"name": "k", "value": f"env:KEY_{name.upper()}"}]} for name in ("one", "two")
        ],
    }
    environment = {f"{name}{number}": f"sk-{name}-{number}" for name in "ab" for number in (1, 2)}
    keys = {"KEY_ONE": "sk-of-organisation-one", "KEY_TWO": "sk-of-organisation-two"}
    gateway = GatewayProcess(tmp_path / "data", config, environment={**environment, **keys})
    await asyncio.to_thread(gateway.__enter__)
    try:
        await check(gateway, keys, providers)
    finally:
        await asyncio.to_thread(gateway.__exit__, None, None, None)


async def check(gateway: GatewayProcess, keys: dict[str, str], providers: tuple[Stateful, Stateful]) -> None:
    url = f"{gateway.base_url}/responses"
    own = {"authorization": f"Bearer {keys['KEY_ONE']}"}
    async with aiohttp.ClientSession(headers=own) as session:

        async def make(stream: bool, **more: Any) -> str:
            body = {"model": "m", "input": "Hello", "stream": stream, **more}
            async with session.post(url, json=body) as answer:
                text = await answer.text()
                assert answer.status == 200, text
            if not stream:
                return str(json.loads(text)["id"])
            return str(json.loads(text.split("data: ")[1].split("\n")[0])["response"]["id"])

        async def converse(number: int) -> str:
            made = await make(stream=bool(number % 2))
            for _ in range(2):
                made = await make(stream=bool(number % 2), previous_response_id=made)
            return made

        last = [await converse(number) for number in range(CONVERSATIONS)]
        assert [each.strangers for each in providers] == [0, 0]
        assert all(len(set(each.made.values())) == 2 for each in providers)

        async def keep(number: int) -> None:
            """Two turns of a conversation that its client keeps, with the target's own reasoning in it."""
            said = f"Hello {number}"
            more = {"store": False, "include": [SEALED]}
            async with session.post(url, json={"model": "m", "input": said, **more}) as answer:
                assert answer.status == 200, await answer.text()
                output = (await answer.json())["output"]
            turns = [{"role": "user", "content": said}, *output, {"role": "user", "content": "More"}]
            async with session.post(url, json={"model": "m", "input": turns, **more}) as answer:
                assert answer.status == 200, await answer.text()

        for number in range(KEPT):
            await keep(number)
        assert all(len(each.sealing) == 2 for each in providers)

        gateway.kill("translator")
        await until_answered(lambda: ready(gateway))
        for made in last[:20]:
            for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/input_items"), ("DELETE", "")):
                async with session.request(method, f"{url}/{made}{path}") as answer:
                    assert answer.status == 200, await answer.text()
        other = {"authorization": f"Bearer {keys['KEY_TWO']}"}
        for made, headers in ((last[0], other), ("resp_unknown", own)):
            async with session.get(f"{url}/{made}", headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (404, "response_not_found")
            body = {"model": "m", "input": "Hello", "previous_response_id": made}
            async with session.post(url, json=body, headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (404, "response_not_found")
        async with session.put(f"{url}/{last[0]}") as answer:
            assert answer.status == 405
    assert [each.strangers for each in providers] == [0, 0]
