"""Which kind of server answers at an address, and where servers are when nobody says."""

from __future__ import annotations

from collections.abc import Mapping

from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import Kind
from node_sidecar.probes.llama_cpp import LlamaCpp
from node_sidecar.probes.lm_studio import LmStudio
from node_sidecar.probes.ollama import Ollama
from node_sidecar.probes.openai import OpenAi
from node_sidecar.probes.sglang import Sglang
from node_sidecar.probes.tgi import Tgi
from node_sidecar.probes.vllm import Vllm

#: In the order in which they are asked for; the last recognises what the others are too.
KINDS: Mapping[str, type[Kind]] = {
    kind.name: kind for kind in (Ollama, Vllm, LlamaCpp, LmStudio, Sglang, Tgi, OpenAi)
}
#: Where the known kinds listen unless told otherwise: vLLM, llama.cpp, Ollama, SGLang, LM Studio, TGI.
DEFAULT_PORTS = (8000, 8080, 11434, 30000, 1234, 3000)


async def recognise(local: LocalClient, *, only_known: bool) -> Kind | None:
    """A new probe for the server at `local`, None if there is none.

    `only_known`: a server that merely speaks OpenAI's dialect does not count: it might be a gateway, even ours.
    """
    for name, kind in KINDS.items():
        if only_known and name == OpenAi.name:
            continue
        found = kind()
        if await found.recognise(local):
            return found
    return None
