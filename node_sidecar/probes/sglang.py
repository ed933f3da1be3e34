"""SGLang. Its `/health` generates a token unless told not to, so `/get_model_info` stands for it."""

from __future__ import annotations

from typing import Any, ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes import metrics
from node_sidecar.probes.http import Local
from node_sidecar.probes.kind import EMBEDDINGS, TEXT, VISION, Model, Observation, listed, tokens

_RUNNING, _WAITING, _CACHE = "sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"


class Sglang:
    name: ClassVar[str] = "sglang"

    async def recognise(self, local: Local) -> bool:
        info = await self._info(local)
        return isinstance(info, dict) and "model_path" in info

    async def observe(self, local: Local) -> Observation:
        info = await self._info(local)
        if not isinstance(info, dict):
            raise ProbeError("/get_model_info has no good answer")
        capabilities = TEXT if info.get("is_generation", True) else (EMBEDDINGS,)
        if info.get("has_image_understanding"):
            capabilities = (*capabilities, VISION)
        models = tuple(
            Model(entry["id"], tokens(entry.get("max_model_len")), capabilities)
            for entry in listed(await local.json("/v1/models"))
        )
        page = await local.ask("/metrics")
        names = {_RUNNING, _WAITING, _CACHE} if page.status == 200 else set()
        samples = metrics.read(page.body.decode(errors="replace"), names)
        return Observation(
            models,
            running=metrics.count(samples, _RUNNING),
            waiting=metrics.count(samples, _WAITING),
            kv_cache=metrics.permille(samples, _CACHE),
        )

    async def _info(self, local: Local) -> Any:
        # Newer versions are giving up the first name.
        return await local.find("/get_model_info") or await local.find("/model_info")
