"""LM Studio. `/api/v0/models` has everything except the load, which LM Studio does not report.

Models that are not loaded are offered too: LM Studio loads them on the first request, if its owner allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import (
    EMBEDDINGS,
    TEXT,
    TOOLS,
    VISION,
    Model,
    Observation,
    context_length,
    model_entries,
    ordered,
)


class LmStudio:
    """Recognises and observes LM Studio, which does not report its "Max Concurrent Predictions".
    `default_parallel` is their default.
    """

    name: ClassVar[str] = "lm-studio"
    default_port: ClassVar[int] = 1234
    default_parallel: ClassVar[int] = 4

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises LM Studio by members that only its list of models has."""
        try:
            models = model_entries(await local.find("/api/v0/models"))
        except ProbeError:
            return False
        # It answers unknown paths with 200 and an error, and an empty list does not identify its sender.
        return any("compatibility_type" in model or "state" in model for model in models)

    async def observe(self, local: LocalClient) -> Observation:
        return Observation(tuple(_model(entry) for entry in model_entries(await local.json("/api/v0/models"))))


def _model(entry: Mapping[str, Any]) -> Model:
    context = context_length(entry.get("loaded_context_length")) or context_length(entry.get("max_context_length"))
    if entry.get("type") == "embeddings":
        return Model(entry["id"], context, (EMBEDDINGS,))
    capabilities = {*TEXT}
    if entry.get("type") == "vlm":
        capabilities.add(VISION)
    reported = entry.get("capabilities")
    if isinstance(reported, list) and "tool_use" in reported:
        capabilities.add(TOOLS)
    return Model(entry["id"], context, ordered(capabilities))
