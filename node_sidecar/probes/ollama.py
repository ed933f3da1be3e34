"""Ollama. `/api/tags` lists the models on disk, `/api/ps` the loaded ones, `/api/show` describes one; none loads a
model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from node_sidecar.errors import ProbeError
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    TEXT,
    TOOLS,
    VISION,
    Model,
    Observation,
    context_length,
    ordered,
)

_CAPABILITIES = {
    "completion": (CHAT, COMPLETIONS),
    "embedding": (EMBEDDINGS,),
    "vision": (VISION,),
    "tools": (TOOLS,),
}


class Ollama:
    """Caches the answer of `/api/show` for each version of a model: it is long and does not change."""

    name: ClassVar[str] = "ollama"
    default_port: ClassVar[int] = 11434
    #: The default of OLLAMA_NUM_PARALLEL, which Ollama does not report. It queues further requests itself.
    default_parallel: ClassVar[int] = 4

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], Model] = {}

    async def recognise(self, local: LocalClient) -> bool:
        """Recognises Ollama by the words with which it answers `/`."""
        try:
            answer = await local.ask("/")
        except ProbeError:
            return False
        return answer.status == 200 and answer.body.strip() == b"Ollama is running"

    async def observe(self, local: LocalClient) -> Observation:
        tags = _models(await local.json("/api/tags"))
        loaded = {
            entry["name"]: context_length(entry.get("context_length"))
            for entry in _models(await local.json("/api/ps"))
        }
        wanted = {(entry["name"], str(entry.get("digest", ""))) for entry in tags}
        for key in wanted - self._shown.keys():
            self._shown[key] = await self._show(local, key[0])
        self._shown = {key: model for key, model in self._shown.items() if key in wanted}
        # A request can use the context with which a model was loaded; the model's own is only the upper bound.
        models = tuple(
            Model(model.name, loaded.get(model.name) or model.context_length, model.capabilities)
            for _, model in sorted(self._shown.items())
        )
        return Observation(models)

    async def _show(self, local: LocalClient, name: str) -> Model:
        answer = await local.json("/api/show", {"model": name})
        if not isinstance(answer, dict):
            raise ProbeError("/api/show does not answer an object")
        info = answer.get("model_info")
        info = info if isinstance(info, dict) else {}
        context = context_length(info.get(f"{info.get('general.architecture')}.context_length"))
        reported = answer.get("capabilities")
        if not isinstance(reported, list):  # before Ollama 0.6.4
            return Model(name, context, TEXT)
        return Model(name, context, ordered(c for word in reported for c in _CAPABILITIES.get(str(word), ())))


def _models(answer: Any) -> list[Mapping[str, Any]]:
    entries = answer.get("models") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise ProbeError("the list of models is not in Ollama's shape")
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str)]
