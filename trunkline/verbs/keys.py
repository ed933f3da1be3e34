"""`trunkline keys`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes
from trunkline.client import Control, control_options
from trunkline.config import document, limit_text, model
from trunkline.config.secrets import Secrets
from trunkline.errors import UsageError
from trunkline.output import output_option, render, when
from trunkline.parameters import LimitFlag, Seconds
from trunkline.text import say

_COLUMNS = ("id", "organisation", "name", "models", "limits", "created", "expires", "revoked")


@click.group()
def keys() -> None:
    """API keys: create, list, revoke."""


@keys.command(
    epilog="""\b
Examples:
  trunkline keys create --org acme --name ci
  trunkline keys create --org acme --name ci --model 'gpt-*' --limit requests/60s=60 --expires 30d
  KEY=$(trunkline keys create --org acme --name ci)
"""
)
@click.option("--org", required=True, help="The organisation that owns it.")
@click.option("--name", required=True, help="Unique among the organisation's keys.")
@click.option("--model", "models", multiple=True, help="Pattern of models it may use.  [default: *]")
@click.option("--limit", "given", type=LimitFlag(), multiple=True, help="An upper bound; may be repeated.")
@click.option("--expires", type=Seconds(), default=None, help="For how long it works.  [default: for ever]")
@click.option("--value", default="", help="For migration: an existing key, as env:NAME or file:PATH.")
@control_options
def create(
    *,
    control: Control,
    org: str,
    name: str,
    models: tuple[str, ...],
    given: tuple[model.Limit, ...],
    expires: int | None,
    value: str,
) -> None:
    """Make a key. Its value is printed once, alone on stdout, and stored as a hash."""
    try:
        secret = Secrets(os.environ, Path.cwd()).credential(value) if value else ""
    except ValueError as error:
        raise UsageError(f"--value: {error}") from error
    key = admin.Key(
        organisation=org,
        name=name,
        models=models,
        limits=map(document.limit, given),
        expires_at=0 if expires is None else int(time.time()) + expires,
    )
    with control.connect() as api:
        answer = api.CreateKey(admin.CreateKeyRequest(key=key, value=secret))
    say(f"+ key {answer.key.id} ({org}/{name}); its value is not shown again:", err=True)
    say(answer.value)
    changes.report(answer.propagation, answer.warnings)


@keys.command(
    "list",
    epilog="""\b
Examples:
  trunkline keys list
  trunkline keys list --org acme --revoked --output json
""",
)
@click.option("--org", default="", help="Only this organisation's.")
@click.option("--revoked", is_flag=True, help="Revoked ones too.")
@output_option
@control_options
def list_keys(*, control: Control, org: str, revoked: bool, output: str) -> None:
    """Every key by its public id; values are not stored and cannot be shown."""
    with control.connect() as api:
        found = api.ListKeys(admin.ListKeysRequest(organisation=org, include_revoked=revoked)).keys
    rows = [
        {
            "id": each.id,
            "organisation": each.organisation,
            "name": each.name,
            "models": list(each.models),
            "limits": list(map(limit_text.text, each.limits)),
            "created": when(each.created_at),
            "expires": when(each.expires_at),
            "revoked": when(each.revoked_at),
        }
        for each in found
    ]
    say(render(rows, _COLUMNS if revoked else _COLUMNS[:-1], output), lines=True)


@keys.command(
    epilog="""\b
Examples:
  trunkline keys revoke KEY_ID
"""
)
@click.argument("id")
@control_options
def revoke(*, control: Control, id: str) -> None:  # noqa: A002 - the argument's name in --help
    """Refuse the key with the public ID from now on."""
    with control.connect() as api:
        answer = api.RevokeKey(admin.RevokeKeyRequest(id=id))
    say(f"- key {answer.key.id} ({answer.key.organisation}/{answer.key.name})")
    changes.report(answer.propagation)
