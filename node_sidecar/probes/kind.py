"""The interface that all kinds of local server share, and the result of a probe."""

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
    """`context_length` in tokens, 0 if unknown. `loading`: the server answers 503 for the model at the moment."""

    name: str
    context_length: int = 0
    capabilities: tuple[str, ...] = TEXT
    loading: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """`running` and `waiting` count requests of all clients; `kv_cache` is per mille. None means not reported.

    `parallel` is how many requests the server works on at once; None if it does not report that (see
    `ServerKind.default_parallel`).
    """

    models: tuple[Model, ...]
    healthy: bool = True
    running: int | None = None
    waiting: int | None = None
    kv_cache: int | None = None
    parallel: int | None = None


class ServerKind(Protocol):
    """One kind of server. Each server has its own instance, which may cache what does not change."""

    #: The name in `Offer.server`.
    name: ClassVar[str]
    #: The port on which such a server usually listens; 0 if there is none.
    default_port: ClassVar[int]
    #: The requests that such a server runs at once by its documentation, if neither it nor its owner states a
    #: number.
    default_parallel: ClassVar[int]

    async def recognise(self, local: LocalClient) -> bool:
        """Returns whether the server at `local` is of this kind; False if it does not answer."""
        ...

    async def observe(self, local: LocalClient) -> Observation:
        """Probes the server.

        Raises:
            ProbeError: the server is away, or not of this kind any more.
        """
        ...


def model_entries(answer: Any) -> list[Mapping[str, Any]]:
    """Returns the entries with an id of a list of models in OpenAI's format.

    Raises:
        ProbeError: `answer` is not such a list.
    """
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise ProbeError("the list of models is not in OpenAI's shape")
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def context_length(value: Any) -> int:
    """Returns a reported context length, or 0 if `value` is not one."""
    return value if isinstance(value, int) and 0 < value < 2**32 else 0


def parallel(value: Any) -> int | None:
    """Returns a reported number of parallel requests, or None if `value` is not one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100_000 else None


def ordered(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Returns the capabilities in the contract's order, without duplicates."""
    known = set(capabilities)
    return tuple(name for name in (CHAT, COMPLETIONS, EMBEDDINGS, VISION, TOOLS) if name in known)
