"""`trunkline providers`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes, completion, names
from trunkline.client import Control, change_options, control_options
from trunkline.config import objects
from trunkline.config.secrets import Secrets
from trunkline.environment import candidates
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.parameters import SecondsFlag
from trunkline.text import say
from trunkline.verbs.providers_flags import ProviderFlags, quota_options, quota_words
from trunkline.verbs.providers_quota import quota

_COLUMNS = (
    "name",
    "dialect",
    "base_url",
    "credentials",
    "ca_file",
    "stream_usage",
    "quota",
    "health",
    "managed_by",
)

_base_url = click.option("--base-url", help="The base URL, up to but without /chat/completions.")
_credential = click.option(
    "--credential",
    "given",
    multiple=True,
    metavar="env:NAME|file:PATH",
    help="An API key, as env:NAME or file:PATH; may be repeated.",
)
_dialect = click.option("--dialect", help="The dialect that it speaks.  [default: openai]")
_ca_file = click.option("--ca-file", help="PEM file with the CAs to trust, by its path on Envoy's machine.")
_stream_usage = click.option(
    "--stream-usage/--no-stream-usage", default=None, help="Request usage on streams whose client did not."
)


@click.group(cls=SuggestingGroup)
def providers() -> None:
    """Manage providers: base URLs and credentials."""


@providers.command(
    "list",
    epilog="""\b
Examples:
  trunkline providers list
  trunkline providers list --output json
""",
)
@output_option
@control_options
def list_providers(*, control: Control, output: str) -> None:
    """List all providers, with the number of their credentials."""
    with control.connect() as api:
        found = api.ListProviders(admin.ListProvidersRequest()).providers
    rows = [
        {
            "name": each.name,
            "dialect": each.dialect,
            "base_url": each.base_url,
            "credentials": each.credential_count,
            "ca_file": each.ca_file,
            "stream_usage": each.stream_usage if each.HasField("stream_usage") else True,
            "quota": quota_words(each),
            "health": each.health_path,
            "managed_by": each.managed_by,
        }
        for each in found
    ]
    say(render(rows, _COLUMNS, output), lines=True)


@providers.command(
    epilog="""\b
Examples:
  trunkline providers add openai --base-url https://api.openai.com/v1 --credential env:OPENAI_API_KEY
  trunkline providers add local --base-url http://127.0.0.1:8000/v1 --health-path /models
  trunkline providers add groq --base-url https://api.groq.com/openai/v1 --quota requests/60s=30
"""
)
@click.argument("name")
@_base_url
@_credential
@_dialect
@_ca_file
@_stream_usage
@quota_options
@control_options
def add(
    *,
    control: Control,
    name: str,
    base_url: str | None,
    given: tuple[str, ...],
    dialect: str | None,
    ca_file: str | None,
    stream_usage: bool | None,
    **more: Any,
) -> None:
    """Add the provider NAME."""
    if base_url is None:
        raise click.UsageError("--base-url is required, such as --base-url https://api.openai.com/v1")
    provider = admin.Provider(name=name, dialect="openai")
    _fill(provider, base_url=base_url, given=given, dialect=dialect, ca_file=ca_file, stream_usage=stream_usage)
    ProviderFlags(**more).fill(provider)
    with control.connect() as api, names.adding("provider", name, "providers update"):
        answer = api.PutProvider(admin.PutProviderRequest(provider=provider))
    say(f"+ provider {name}")
    changes.report(answer.propagation)


@providers.command(
    epilog="""\b
Examples:
  trunkline providers update openai --credential file:/run/secrets/openai-1 --credential file:/run/secrets/openai-2
  trunkline providers update local --no-stream-usage
  trunkline providers update openai --credential-quota 2:tokens/60s=30000
"""
)
@click.argument("name", shell_complete=completion.PROVIDERS)
@_base_url
@_credential
@click.option("--clear-credentials", is_flag=True, help="Remove the stored credentials.")
@_dialect
@_ca_file
@_stream_usage
@quota_options
@change_options
def update(
    *,
    control: Control,
    name: str,
    base_url: str | None,
    given: tuple[str, ...],
    clear_credentials: bool,
    dialect: str | None,
    ca_file: str | None,
    stream_usage: bool | None,
    **more: Any,
) -> None:
    """Change the given values of the provider NAME; --credential replaces all its credentials."""
    with control.connect() as api:
        found = api.ListProviders(admin.ListProvidersRequest()).providers
        provider = next((each for each in found if each.name == name), None)
        if provider is None:
            raise names.unknown("provider", name, [each.name for each in found])
        before = objects.PROVIDER.written(provider)
        _fill(
            provider, base_url=base_url, given=given, dialect=dialect, ca_file=ca_file, stream_usage=stream_usage
        )
        ProviderFlags(**more).fill(provider)
        provider.clear_credentials = clear_credentials
        answer = api.PutProvider(admin.PutProviderRequest(provider=provider))
    say(f"~ provider {name}")
    if given or clear_credentials:
        say(f"    credentials: {provider.credential_count} -> {len(given)} (not shown)")
    changes.say_between(before, objects.PROVIDER.written(provider))
    changes.report(answer.propagation)


@providers.command(
    epilog="""\b
Examples:
  trunkline providers remove openai
"""
)
@click.argument("name", shell_complete=completion.PROVIDERS)
@change_options
def remove(*, control: Control, name: str) -> None:
    """Remove the provider NAME; refused while a route uses it."""
    with control.connect() as api, names.suggesting(api, "provider", name):
        answer = api.DeleteProvider(admin.DeleteProviderRequest(name=name))
    say(f"- provider {name}")
    changes.report(answer.propagation)


@providers.command(
    epilog="""\b
Examples:
  OPENAI_API_KEY=… trunkline providers discover
"""
)
@click.option(
    "--wait", type=SecondsFlag(), default=0, help="How long to wait for a control plane that is starting."
)
@control_options
def discover(*, control: Control, wait: int) -> None:
    """Add the providers in the environment, and a local Ollama or vLLM, with a route for every model.

    Queries the list of models of each, which costs nothing. Stored objects are left alone. If several providers
    have a model, the first one serves it, with the others as fallbacks.
    """
    # Importing an HTTP client takes a third of a second, and only this command needs it.
    from trunkline import discovery  # noqa: PLC0415

    found = discovery.ask(candidates(os.environ), os.environ)
    for each in found:
        if each.problem:
            say(f"warning: {each.problem}", err=True)
    usable = [each for each in found if each.models]
    if not usable:
        say(discovery.nothing_found(found), lines=True, err=True)
        return
    with dataclasses.replace(control, wait=wait).connect() as api:
        document = discovery.missing(api.Export(admin.ExportRequest()).document, usable)
        answer = api.Apply(admin.ApplyRequest(document=document, managed_by="api"))
    for each in usable:
        say(f"{each.candidate.name}: {len(each.models)} models at {each.candidate.base_url}", err=True)
    changes.report(answer.propagation, answer.warnings)


providers.add_command(quota)


def _fill(
    provider: admin.Provider,
    *,
    base_url: str | None,
    given: tuple[str, ...],
    dialect: str | None,
    ca_file: str | None,
    stream_usage: bool | None,
) -> None:
    """Sets the given values."""
    secrets = Secrets(os.environ, Path.cwd())
    try:
        provider.credentials.extend(secrets.credential(each) for each in given)
    except ValueError as error:
        raise UsageError(f"--credential: {error}") from error
    if base_url is not None:
        provider.base_url = base_url
    if dialect is not None:
        provider.dialect = dialect
    if ca_file is not None:
        provider.ca_file = ca_file
    if stream_usage is not None:
        provider.stream_usage = stream_usage
