"""vLLM. `/health` checks the engine, not the model; `/v1/models` has the context length; `/metrics` has the load.

Only `/server_info` has `--max-num-seqs`, and it exists only with VLLM_SERVER_DEV_MODE. It is read once for each
start of the server.
"""

from __future__ import annotations

from typing import ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes import metrics
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import TEXT, Model, Observation, context_length, model_entries, parallel
from node_sidecar.probes.per_start import PerStart

_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
#: The second is the name in older versions.
_CACHE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")


class Vllm:
    """Recognises and observes vLLM. `default_parallel` is its default `--max-num-seqs`."""

    name: ClassVar[str] = "vllm"
    default_port: ClassVar[int] = 8000
    default_parallel: ClassVar[int] = 256

    def __init__(self) -> None:
        self._parallel = PerStart(self._sequences)

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises vLLM by the owner of its models."""
        try:
            models = model_entries(await local.json("/v1/models"))
        except ProbeError:
            return False
        return any(model.get("owned_by") == "vllm" for model in models)

    async def observe(self, local: LocalClient) -> Observation:
        with self._parallel.forgotten_if_lost():
            return await self._observe(local)

    async def _observe(self, local: LocalClient) -> Observation:
        health = await local.ask("/health")
        models = tuple(
            Model(entry["id"], context_length(entry.get("max_model_len")), TEXT)
            for entry in model_entries(await local.json("/v1/models"))
        )
        parallel_requests = await self._parallel.get(local)
        page = await local.ask("/metrics")
        samples = metrics.read(page.body.decode(errors="replace"), {_RUNNING, _WAITING, *_CACHE})
        return Observation(
            models,
            healthy=health.status == 200,
            running=metrics.count(samples, _RUNNING),
            waiting=metrics.count(samples, _WAITING),
            kv_cache=metrics.permille(samples, *_CACHE),
            parallel=parallel_requests,
        )

    async def _sequences(self, local: LocalClient) -> int | None:
        try:
            found = await local.find("/server_info?config_format=json")
        except ProbeError:  # a slow answer says nothing about its health
            return None
        for key in ("vllm_config", "scheduler_config"):
            found = found.get(key) if isinstance(found, dict) else None
        return parallel(found.get("max_num_seqs")) if isinstance(found, dict) else None
