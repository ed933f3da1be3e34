"""vLLM: `/health` asks the engine, not the model; `/v1/models` has the context length; `/metrics` has the load."""

from __future__ import annotations

from typing import ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes import metrics
from node_sidecar.probes.http import Local
from node_sidecar.probes.kind import TEXT, Model, Observation, listed, tokens

_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
#: The second is what older versions call it.
_CACHE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")


class Vllm:
    name: ClassVar[str] = "vllm"

    async def recognise(self, local: Local) -> bool:
        try:
            models = listed(await local.json("/v1/models"))
        except ProbeError:
            return False
        return any(model.get("owned_by") == "vllm" for model in models)

    async def observe(self, local: Local) -> Observation:
        health = await local.ask("/health")
        models = tuple(
            Model(entry["id"], tokens(entry.get("max_model_len")), TEXT)
            for entry in listed(await local.json("/v1/models"))
        )
        page = await local.ask("/metrics")
        samples = metrics.read(page.body.decode(errors="replace"), {_RUNNING, _WAITING, *_CACHE})
        return Observation(
            models,
            healthy=health.status == 200,
            running=metrics.count(samples, _RUNNING),
            waiting=metrics.count(samples, _WAITING),
            kv_cache=metrics.permille(samples, *_CACHE),
        )
