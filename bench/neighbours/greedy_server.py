"""The attacker's local server: it answers at once, and claims an impossible usage."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from bench.neighbours.scene import GREEDY

#: The largest claim that was ever accepted.
CLAIM = 999_999_999


def _answer() -> dict[str, object]:
    usage = {"prompt_tokens": CLAIM, "completion_tokens": CLAIM, "total_tokens": 2 * CLAIM}
    message = {"role": "assistant", "content": "ok"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "x", "object": "chat.completion", "model": GREEDY, "choices": choices, "usage": usage}


async def _chat(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response(_answer())


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": GREEDY, "object": "model"}]})


async def main() -> None:
    """Prints its port, and serves until standard input ends."""
    app = web.Application()
    app.add_routes([web.get("/v1/models", _models), web.post("/v1/chat/completions", _chat)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"port {runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
