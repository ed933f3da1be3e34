"""Probes any other server that speaks OpenAI's dialect. Only `/v1/models` is certain to be free of cost."""

from __future__ import annotations

from typing import ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import EMBEDDINGS, TEXT, Model, Observation, context_length, model_entries


class OpenAi:
    """Recognises and observes any other OpenAI-compatible server. Nothing is known about it, so `default_parallel`
    is an assumption.
    """

    name: ClassVar[str] = "openai"
    default_port: ClassVar[int] = 0
    default_parallel: ClassVar[int] = 16

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises any server that lists its models as OpenAI does."""
        try:
            model_entries(await local.json("/v1/models"))
        except ProbeError:
            return False
        return True

    async def observe(self, local: LocalClient) -> Observation:
        return Observation(
            tuple(
                Model(
                    entry["id"],
                    # Not part of OpenAI's API, but several servers add it.
                    context_length(entry.get("max_model_len")) or context_length(entry.get("context_length")),
                    (EMBEDDINGS,) if "embed" in entry["id"].lower() else TEXT,
                )
                for entry in model_entries(await local.json("/v1/models"))
            )
        )
