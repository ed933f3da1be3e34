"""Text Generation Inference. `/info` has the model and its limits.

Its `/health` generates a token until a request has proven the model (health.rs, `generation_health`), so the probe
reads `/info` instead: the router that answers it ends when a shard of the model does.
"""

from __future__ import annotations

from typing import Any, ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes import metrics
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import (
    CHAT,
    COMPLETIONS,
    TOOLS,
    Model,
    Observation,
    context_length,
    model_entries,
    parallel,
)

_WAITING, _RUNNING = "tgi_queue_size", "tgi_batch_current_size"


class Tgi:
    """Recognises and observes Text Generation Inference. `default_parallel` is its `--max-concurrent-requests`."""

    name: ClassVar[str] = "tgi"
    default_port: ClassVar[int] = 3000
    default_parallel: ClassVar[int] = 128

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises Text Generation Inference by `/info`."""
        info = await local.find("/info")
        return isinstance(info, dict) and "model_id" in info and "max_concurrent_requests" in info

    async def observe(self, local: LocalClient) -> Observation:
        info: Any = await local.json("/info")
        if not isinstance(info, dict) or not isinstance(info.get("model_id"), str):
            raise ProbeError("/info does not name a model")
        served = await local.find("/v1/models")
        names = [entry["id"] for entry in model_entries(served)] if served is not None else [info["model_id"]]
        context = context_length(info.get("max_total_tokens"))
        page = await local.ask("/metrics")
        samples = metrics.read(page.body.decode(errors="replace"), {_WAITING, _RUNNING})
        return Observation(
            tuple(Model(name, context, (CHAT, COMPLETIONS, TOOLS)) for name in names),
            running=metrics.count(samples, _RUNNING),
            waiting=metrics.count(samples, _WAITING),
            parallel=_parallel(info),
        )


def _parallel(info: dict[str, Any]) -> int | None:
    """Returns the batch size if it is bounded, but at most the number of accepted requests: the rest gets a
    429.
    """
    reported = [parallel(info.get(name)) for name in ("max_batch_size", "max_concurrent_requests")]
    return min((each for each in reported if each is not None), default=None)
