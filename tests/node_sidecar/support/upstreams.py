"""Local servers as the probes would report them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Local:
    base_url: str
    api_key: str = ""

    def serving(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(slots=True)
class Models:
    """Maps models to servers: `everything`, unless a model is in `by_name` (None: nowhere) or `being_loaded`."""

    everything: Local | None = None
    by_name: dict[str, Local | None] = field(default_factory=dict)
    being_loaded: set[str] = field(default_factory=set)

    def find(self, model: str) -> Local | None:
        return None if model in self.being_loaded else self.by_name.get(model, self.everything)

    def loading(self, model: str) -> bool:
        return model in self.being_loaded
