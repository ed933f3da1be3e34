"""SGLang. Its `/health` generates a token by default, so the probe reads `/get_model_info` instead.

`/get_server_info` has the capacity of each data-parallel rank, which may be less than `--max-running-requests`. It
asks the scheduler, so it is read once for each start of the server.
"""

from __future__ import annotations

from typing import Any, ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes import metrics
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import (
    EMBEDDINGS,
    TEXT,
    VISION,
    Model,
    Observation,
    context_length,
    model_entries,
    parallel,
)
from node_sidecar.probes.per_start import PerStart

_RUNNING, _WAITING, _CACHE = "sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"


class Sglang:
    """Recognises and observes SGLang. Its capacity is read once for each start of the server."""

    name: ClassVar[str] = "sglang"
    default_port: ClassVar[int] = 30000
    default_parallel: ClassVar[int] = 32

    def __init__(self) -> None:
        self._parallel = PerStart(self._room)

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises SGLang by `/get_model_info`."""
        info = await self._info(local)
        return isinstance(info, dict) and "model_path" in info

    async def observe(self, local: LocalClient) -> Observation:
        with self._parallel.forgotten_if_lost():
            return await self._observe(local)

    async def _observe(self, local: LocalClient) -> Observation:
        info = await self._info(local)
        if not isinstance(info, dict):
            raise ProbeError("/get_model_info has no good answer")
        parallel_requests = await self._parallel.get(local)
        capabilities = TEXT if info.get("is_generation", True) else (EMBEDDINGS,)
        if info.get("has_image_understanding"):
            capabilities = (*capabilities, VISION)
        models = tuple(
            Model(entry["id"], context_length(entry.get("max_model_len")), capabilities)
            for entry in model_entries(await local.json("/v1/models"))
        )
        page = await local.ask("/metrics")
        names = {_RUNNING, _WAITING, _CACHE} if page.status == 200 else set()
        samples = metrics.read(page.body.decode(errors="replace"), names)
        return Observation(
            models,
            running=metrics.count(samples, _RUNNING),
            waiting=metrics.count(samples, _WAITING),
            kv_cache=metrics.permille(samples, _CACHE),
            parallel=parallel_requests,
        )

    async def _room(self, local: LocalClient) -> int | None:
        try:
            found = await local.find("/get_server_info") or await local.find("/server_info")
        except ProbeError:  # a slow scheduler says nothing about the server's health
            return None
        if not isinstance(found, dict):
            return None
        states = found.get("internal_states")
        ranks = [each for each in states if isinstance(each, dict)] if isinstance(states, list) else []
        rooms = [parallel(each.get("effective_max_running_requests_per_dp")) for each in ranks]
        reported = [each for each in rooms if each is not None]
        return sum(reported) if reported else parallel(found.get("max_running_requests"))

    async def _info(self, local: LocalClient) -> Any:
        # Newer versions are dropping the first path.
        return await local.find("/get_model_info") or await local.find("/model_info")
