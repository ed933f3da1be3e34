"""Finds the models of the providers in the environment: GET {base_url}/models, which is free, all at once."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.environment import ProviderCandidate

_LIMIT_SECONDS = 2.0

_NO_KEY = "no key of a known provider is in the environment, and no Ollama or vLLM answers on this machine"
_HOW_TO_ADD = """\
Add one, for example
  {command} providers add openai --base-url https://api.openai.com/v1 --credential env:OPENAI_API_KEY
  {command} routes set gpt-4.1 --target openai/gpt-4.1
or write trunkline.yaml and run `{command} apply -f trunkline.yaml`:
  version: 1
  providers:
    - {{name: openai, base_url: https://api.openai.com/v1, credentials: [env:OPENAI_API_KEY]}}
  routes:
    - {{model: gpt-4.1, targets: [{{provider: openai, model: gpt-4.1}}]}}"""


def nothing_found(found: Iterable[Discovery]) -> str:
    """Explains why no provider has models, and how to add one by hand."""
    failed = [each.candidate.name for each in found if each.problem]
    why = f"none of {', '.join(failed)} could be used (see above)" if failed else _NO_KEY
    return f"No provider yet: {why}.\n{_HOW_TO_ADD.format(command=_command())}"


def _command() -> str:
    """Returns what to type for this program, such as `.venv/bin/trunkline` if the shell finds no `trunkline`."""
    called = sys.argv[0]
    return called if Path(called).name == "trunkline" and shutil.which("trunkline") is None else "trunkline"


@dataclass(frozen=True, slots=True)
class Discovery:
    """A candidate's answer: the names of its models, or one sentence about the problem and its solution.

    Both are empty for a local server that does not exist.
    """

    candidate: ProviderCandidate
    credential: str = field(repr=False)
    models: tuple[str, ...] = ()
    problem: str = ""


def ask(candidates: Iterable[ProviderCandidate], environment: Mapping[str, str]) -> list[Discovery]:
    """Queries all candidates for at most 2 s; the results are in the given order. Never raises for their
    answers.
    """

    async def together() -> list[Discovery]:
        limit = aiohttp.ClientTimeout(total=_LIMIT_SECONDS)
        async with aiohttp.ClientSession(timeout=limit, trust_env=True) as session:
            return list(
                await asyncio.gather(
                    *(_ask(session, each, environment.get(each.key_variable, "").strip()) for each in candidates)
                )
            )

    return asyncio.run(together())


def missing(stored: admin.Document, found: Sequence[Discovery]) -> admin.Document:
    """Returns the providers and routes that `stored` lacks.

    If several providers have a model, the first one serves it, with the others as further tiers.
    """
    document = admin.Document()
    providers = {each.name for each in stored.providers}
    routes = {each.model for each in stored.routes if not each.organisation}
    added: dict[str, admin.Route] = {}
    for each in found:
        if each.candidate.name not in providers:
            credentials = [each.credential] if each.credential else []
            document.providers.add(
                name=each.candidate.name,
                dialect="openai",
                base_url=each.candidate.base_url,
                credentials=credentials,
            )
        for model in each.models:
            if model in routes:
                continue
            route = added.setdefault(model, admin.Route(model=model, strategy=admin.STRATEGY_WEIGHTED))
            route.targets.add(provider=each.candidate.name, model=model, tier=len(route.targets))
    document.routes.extend(added.values())
    return document


async def _ask(session: aiohttp.ClientSession, candidate: ProviderCandidate, credential: str) -> Discovery:
    url = f"{candidate.base_url}/models"
    headers = {"authorization": f"Bearer {credential}"} if credential else {}
    try:
        # A redirect would send the key to another server.
        async with session.get(url, headers=headers, allow_redirects=False) as answer:
            if answer.status == 200:
                models = _models(await answer.json(content_type=None))
                return Discovery(candidate, credential, models, "" if models else _without_models(candidate))
            problem = f"answered {answer.status}"
            if answer.status in {401, 403}:
                problem += f": is the key in {candidate.key_variable} right?"
    except TimeoutError:
        problem = f"did not answer within {_LIMIT_SECONDS:g} s"
    except (aiohttp.ClientError, ValueError) as error:
        problem = f"could not be reached ({type(error).__name__})"
    return Discovery(candidate, credential, problem=_problem(candidate, problem))


def _models(answer: Any) -> tuple[str, ...]:
    """Returns the ids of an OpenAI list of models, without duplicates. Raises ValueError for anything else."""
    try:
        ids = [each["id"] for each in answer["data"]]
    except (KeyError, TypeError) as error:
        raise ValueError("not a list of models") from error
    # Gemini prefixes names with `models/`, which its chat endpoint omits.
    return tuple(dict.fromkeys(each.removeprefix("models/") for each in ids if isinstance(each, str) and each))


def _without_models(candidate: ProviderCandidate) -> str:
    return (
        f"{candidate.name}: {candidate.base_url}/models lists no models, so there is nothing to serve. When it "
        "has some, run `trunkline providers discover`"
    )


def _problem(candidate: ProviderCandidate, what: str) -> str:
    if candidate.local:
        return ""
    return (
        f"{candidate.name}: {candidate.base_url}/models {what}; no models were added. Try again with "
        "`trunkline providers discover`, or add it with `trunkline providers add`"
    )
