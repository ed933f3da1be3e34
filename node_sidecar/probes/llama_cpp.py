"""llama.cpp's server. `/health` is 503 while it loads; `/props` has the context and the number of slots; `/slots`
has the busy slots.

`/slots` and `/metrics` run as tasks and would wake a sleeping server (`--sleep-idle-seconds`), so the probe reads
`/props` first, which does not. In router mode (`--models-dir`) `/v1/models` has the state of each model. The probe
then reads nothing else, because a request about a model loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes import metrics
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import (
    TEXT,
    TOOLS,
    VISION,
    Model,
    Observation,
    context_length,
    model_entries,
    ordered,
    parallel,
)

_RUNNING, _WAITING = "llamacpp:requests_processing", "llamacpp:requests_deferred"
_CACHE = "llamacpp:kv_cache_usage_ratio"


class LlamaCpp:
    """Recognises and observes llama.cpp's server. `default_parallel` is its `--parallel` for a model that a router
    loads.
    """

    name: ClassVar[str] = "llama.cpp"
    default_port: ClassVar[int] = 8080
    default_parallel: ClassVar[int] = 4

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises the server by the owner of its models, or by its words while it loads."""
        try:
            health = await local.ask("/health")
            if health.status == 503 and b"Loading model" in health.body:
                return True
            models = model_entries(await local.json("/v1/models"))
        except ProbeError:
            return False
        return any(model.get("owned_by") == "llamacpp" for model in models)

    async def observe(self, local: LocalClient) -> Observation:
        health = await local.ask("/health")
        loading = health.status == 503
        answer = await local.ask("/v1/models")
        if loading and answer.status == 503:
            return Observation((), healthy=False)
        if answer.status != 200:
            raise ProbeError(f"/v1/models answers {answer.status}")
        entries = model_entries(answer.json())
        if any("status" in entry for entry in entries):
            return Observation(tuple(map(_routed, entries)), healthy=health.status == 200)
        props = await local.find("/props")
        models = tuple(_model(entry, props or {}, loading) for entry in entries)
        if not isinstance(props, dict):
            return Observation(models, healthy=loading or health.status == 200)
        slots = parallel(props.get("total_slots"))
        if loading or props.get("is_sleeping"):
            return Observation(models, healthy=loading or health.status == 200, parallel=slots)
        running, waiting, cache = await self._load(local)
        return Observation(models, health.status == 200, running, waiting, cache, slots)

    async def _load(self, local: LocalClient) -> tuple[int | None, int | None, int | None]:
        """Reads the load from `/metrics` if it is enabled, else from `/slots`."""
        page = await local.ask("/metrics")
        samples = metrics.read(page.body.decode(errors="replace"), {_RUNNING, _WAITING, _CACHE})
        if page.status == 200 and samples:
            return (
                metrics.count(samples, _RUNNING),
                metrics.count(samples, _WAITING),
                metrics.permille(samples, _CACHE),
            )
        slots = await local.find("/slots")
        if not isinstance(slots, list):
            return None, None, None
        return sum(1 for slot in slots if isinstance(slot, dict) and slot.get("is_processing")), None, None


def _model(entry: Mapping[str, Any], props: Mapping[str, Any], loading: bool) -> Model:
    """Describes a model. With a single model, `/props` is about it; its context is that of one slot, which is what
    one request can use.
    """
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    settings = props.get("default_generation_settings")
    settings = settings if isinstance(settings, dict) else {}
    modalities = props.get("modalities")
    modalities = modalities if isinstance(modalities, dict) else {}
    context = context_length(settings.get("n_ctx")) or context_length((meta or {}).get("n_ctx_train"))
    capabilities = {*TEXT}
    if modalities.get("vision"):
        capabilities.add(VISION)
    template_caps = props.get("chat_template_caps")
    if isinstance(template_caps, dict) and template_caps.get("supports_tools"):
        capabilities.add(TOOLS)
    return Model(entry["id"], context, ordered(capabilities), loading)


def _routed(entry: Mapping[str, Any]) -> Model:
    """Describes a model of a router. Unloaded models are offered too: the router loads them on the first
    request.
    """
    status = entry.get("status")
    value = status.get("value") if isinstance(status, dict) else None
    return Model(entry["id"], 0, TEXT, loading=value == "loading")
