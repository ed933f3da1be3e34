"""Finds out which kind of server answers at an address, and lists the default ports to look at."""

from __future__ import annotations

from collections.abc import Mapping

from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import ServerKind
from node_sidecar.probes.llama_cpp import LlamaCpp
from node_sidecar.probes.lm_studio import LmStudio
from node_sidecar.probes.ollama import Ollama
from node_sidecar.probes.openai import OpenAi
from node_sidecar.probes.sglang import Sglang
from node_sidecar.probes.tgi import Tgi
from node_sidecar.probes.vllm import Vllm

#: In the order of probing. OpenAi recognises all the others too, so it is the last.
KINDS: Mapping[str, type[ServerKind]] = {
    kind.name: kind for kind in (Ollama, Vllm, LlamaCpp, LmStudio, Sglang, Tgi, OpenAi)
}
DEFAULT_PORTS = tuple(kind.default_port for kind in KINDS.values() if kind.default_port)


async def recognise(local: LocalClient, *, only_known: bool) -> ServerKind | None:
    """Returns a new probe for the server at `local`, or None if no server of a known kind answers.

    With `only_known`, a server that merely speaks OpenAI's dialect does not count: it might be a gateway, even
    this one.
    """
    for name, kind in KINDS.items():
        if only_known and name == OpenAi.name:
            continue
        found = kind()
        if await found.recognise(local):
            return found
    return None
