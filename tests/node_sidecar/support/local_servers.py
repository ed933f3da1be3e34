"""Local inference servers with the published endpoints of their kinds, as far as a probe may request them.

All other requests are answered with 404 and recorded: `asked` shows that nothing generated a token.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.ports import ReservedPort


class LocalServer:
    """A server with `answers` by path; a value may be an object (JSON, 200), text (200), or (status, content type,
    body).
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self._runner: web.AppRunner | None = None
        self._reserved: ReservedPort | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts on the same port as before, if there was one; it is nobody else's until the context ends."""
        if self._reserved is None:
            self._reserved = ReservedPort()
            self.port = self._reserved.number
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> LocalServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._reserved = None

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        self.keys.add(request.headers.get("authorization", ""))
        answer = self.answers.get(request.path)
        if callable(answer):
            answer = answer(await request.json())
        if answer is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        if isinstance(answer, tuple):
            status, kind, body = answer
            return web.Response(status=status, content_type=kind, body=body)
        if isinstance(answer, str):
            return web.Response(text=answer)
        return web.json_response(answer)


def vllm(
    *models: str, running: int = 0, waiting: int = 0, cache: float = 0.0, sequences: int | None = None
) -> LocalServer:
    """Returns vLLM 0.10: api_server.py's /health, /v1/models, /metrics; with `sequences` in its
    development mode.
    """
    label = f'{{engine="0",model_name="{models[0]}"}}'
    card = {"object": "model", "created": 1, "owned_by": "vllm", "parent": None, "permission": []}
    development = {"/server_info": {"vllm_config": {"scheduler_config": {"max_num_seqs": sequences}}}}
    return LocalServer(
        **(development if sequences else {}),
        **{
            "/health": "",
            "/version": {"version": "0.10.2"},
            "/v1/models": {
                "object": "list",
                "data": [{"id": model, "root": model, "max_model_len": 32768, **card} for model in models],
            },
            "/metrics": (
                "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
                "# TYPE vllm:num_requests_running gauge\n"
                f"vllm:num_requests_running{label} {float(running)}\n"
                f"vllm:num_requests_waiting{label} {float(waiting)}\n"
                f"vllm:kv_cache_usage_perc{label} {cache}\n"
                f'vllm:request_success_total{{finished_reason="stop",model_name="{models[0]}"}} 7.0\n'
            ),
        },
    )


def ollama(**models: dict[str, Any]) -> LocalServer:
    """Returns Ollama 0.12: docs/api.md. `models` maps names to `capabilities`, `context` and, if
    loaded, `loaded`.
    """
    named = {name.replace("__", ":"): reported for name, reported in models.items()}

    def show(body: Any) -> Any:
        reported = named[body["model"]]
        return {
            "modelfile": "FROM /models/blob",
            "template": "{{ .Prompt }}",
            "details": {"format": "gguf", "family": "llama", "parameter_size": "8.0B"},
            "model_info": {
                "general.architecture": "llama",
                "general.parameter_count": 8030261248,
                "llama.context_length": reported["context"],
            },
            "capabilities": reported["capabilities"],
        }

    def entry(name: str) -> dict[str, Any]:
        return {"name": name, "model": name, "size": 1, "digest": f"d-{name}", "details": {"format": "gguf"}}

    loaded = [
        {**entry(name), "size_vram": 1, "expires_at": "2030-01-01T00:00:00Z", "context_length": reported["loaded"]}
        for name, reported in named.items()
        if "loaded" in reported
    ]
    return LocalServer(
        **{
            "/": "Ollama is running",
            "/api/version": {"version": "0.12.3"},
            "/api/tags": {"models": [entry(name) for name in named]},
            "/api/ps": {"models": loaded},
            "/api/show": show,
            "/v1/models": {
                "object": "list",
                "data": [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in named],
            },
        }
    )


def sglang(model: str, *, metrics: bool = True, rooms: tuple[int, ...] = (128,)) -> LocalServer:
    """Returns SGLang 0.5: http_server.py. `/health` would generate a token. `rooms` are those of its ranks."""
    page = (
        f'sglang:num_running_reqs{{model_name="{model}"}} 3.0\n'
        f'sglang:num_queue_reqs{{model_name="{model}"}} 1.0\n'
        f'sglang:token_usage{{model_name="{model}"}} 0.25\n'
    )
    server = LocalServer(
        **{
            "/get_model_info": {"model_path": model, "tokenizer_path": model, "is_generation": True},
            "/get_server_info": {
                "model_path": model,
                "max_running_requests": 4096,
                "dp_size": len(rooms),
                "internal_states": [
                    {
                        "last_gen_throughput": 129.3,
                        "memory_usage": {"weight": 0.98, "kvcache": 0.23, "token_capacity": 20480, "graph": 0},
                        "effective_max_running_requests_per_dp": room,
                    }
                    for room in rooms
                ],
                "version": "0.5.3",
            },
            "/v1/models": {
                "object": "list",
                "data": [
                    {
                        "id": model,
                        "object": "model",
                        "created": 1,
                        "owned_by": "sglang",
                        "root": model,
                        "max_model_len": 131072,
                    }
                ],
            },
        }
    )
    if metrics:
        server.answers["/metrics"] = page
    return server


def tgi(model: str) -> LocalServer:
    """Returns Text Generation Inference 3: server.rs. `/health` may generate a token."""
    return LocalServer(
        **{
            "/info": {
                "model_id": model,
                "model_sha": "abc",
                "model_pipeline_tag": "text-generation",
                "max_concurrent_requests": 128,
                "max_best_of": 2,
                "max_stop_sequences": 4,
                "max_input_tokens": 4095,
                "max_total_tokens": 4096,
                "validation_workers": 2,
                "max_client_batch_size": 4,
                "router": "text-generation-router",
                "version": "3.3.5",
            },
            "/v1/models": {
                "object": "list",
                "data": [{"id": model, "object": "model", "created": 0, "owned_by": model}],
            },
            "/metrics": "# TYPE tgi_queue_size gauge\ntgi_queue_size 4\ntgi_batch_current_size 2\n",
        }
    )


def lm_studio() -> LocalServer:
    """Returns LM Studio 0.3: docs/api/rest-api."""
    shared = {"object": "model", "publisher": "lmstudio-community", "quantization": "4bit"}
    return LocalServer(
        **{
            "/api/v0/models": {
                "object": "list",
                "data": [
                    {
                        "id": "qwen2-vl-7b-instruct",
                        "type": "vlm",
                        "arch": "qwen2_vl",
                        "compatibility_type": "mlx",
                        "state": "not-loaded",
                        "max_context_length": 32768,
                        **shared,
                    },
                    {
                        "id": "meta-llama-3.1-8b-instruct",
                        "type": "llm",
                        "arch": "llama",
                        "compatibility_type": "gguf",
                        "state": "loaded",
                        "max_context_length": 131072,
                        "loaded_context_length": 4096,
                        "capabilities": ["tool_use"],
                        **shared,
                    },
                    {
                        "id": "text-embedding-nomic-embed-text-v1.5",
                        "type": "embeddings",
                        "arch": "nomic-bert",
                        "compatibility_type": "gguf",
                        "state": "not-loaded",
                        "max_context_length": 2048,
                        **shared,
                    },
                ],
            },
            "/v1/models": {"object": "list", "data": [{"id": "qwen2-vl-7b-instruct", "object": "model"}]},
            # Unknown paths are answered with 200.
            "/": (200, "application/json", json.dumps({"error": "Unexpected endpoint or method."}).encode()),
        }
    )


def plain(*models: str) -> LocalServer:
    """Returns some other server that speaks OpenAI's dialect."""
    return LocalServer(
        **{"/v1/models": {"object": "list", "data": [{"id": m, "object": "model"} for m in models]}}
    )
