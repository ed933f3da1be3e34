"""What all kinds of local server have in common, and what one probe of one server found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from node_sidecar.errors import ProbeError
from node_sidecar.probes.http import LocalClient

CHAT, COMPLETIONS, EMBEDDINGS, VISION, TOOLS = "chat", "completions", "embeddings", "vision", "tools"
TEXT = (CHAT, COMPLETIONS)


@dataclass(frozen=True, slots=True)
class Model:
    """`context_length` in tokens, 0 if unknown; `loading`: the server answers 503 for it at the moment."""

    name: str
    context_length: int = 0
    capabilities: tuple[str, ...] = TEXT
    loading: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """`running` and `waiting` are requests, whoever sent them; `kv_cache` is per mille. None: not told.

    `parallel` is how many requests the server works on at once; None: it does not publish that, see
    `Kind.default_parallel`.
    """

    models: tuple[Model, ...]
    healthy: bool = True
    running: int | None = None
    waiting: int | None = None
    kv_cache: int | None = None
    parallel: int | None = None


class Kind(Protocol):
    """One kind of server. Each server has an instance of its own, which may remember what does not change."""

    #: As in `Offer.server`.
    name: ClassVar[str]
    #: How many requests such a server works on at once, by its documentation, unless its owner says otherwise.
    default_parallel: ClassVar[int]

    async def recognise(self, local: LocalClient) -> bool:
        """Whether the server at `local` is of this kind. False too if it is not there."""
        ...

    async def observe(self, local: LocalClient) -> Observation:
        """Raises:
        ProbeError: the server is away, or not of this kind any more.
        """
        ...


def model_entries(answer: Any) -> list[Mapping[str, Any]]:
    """The entries of a list in OpenAI's shape, those that have an id.

    Raises:
        ProbeError: it is none.
    """
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise ProbeError("the list of models is not in OpenAI's shape")
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def context_length(value: Any) -> int:
    """A context length as it is told; 0 for anything that is none."""
    return value if isinstance(value, int) and 0 < value < 2**32 else 0


def parallel(value: Any) -> int | None:
    """How many requests at once, as it is told; None for anything that is no such number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100_000 else None


def ordered(capabilities: Iterable[str]) -> tuple[str, ...]:
    """In the contract's order, each once."""
    known = set(capabilities)
    return tuple(name for name in (CHAT, COMPLETIONS, EMBEDDINGS, VISION, TOOLS) if name in known)
