"""`trunkline keys`."""

from __future__ import annotations

import os
from pathlib import Path

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.policy.words import PRIORITIES

from trunkline import changes, completion, names
from trunkline.client import Control, change_options, control_options
from trunkline.config import document, limit_text, model, objects
from trunkline.config.secrets import Secrets
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render, when
from trunkline.parameters import Expiry, LimitFlag, SecondsFlag, Usd
from trunkline.text import say

_COLUMNS = (
    "id", "organisation", "name", "models", "limits", "priority", "created", "expires", "former_until",
    "managed_by", "revoked",
)  # fmt: skip
_ENDS = {"former": admin.RotateKeyRequest.ENDS_FORMER, "newest": admin.RotateKeyRequest.ENDS_NEWEST}
_max_price_option = click.option(
    "--max-price",
    type=Usd(),
    default=None,
    help="Maximum estimated cost of a request in USD; 0: no maximum.  [default: 0]",
)
_expiry_option = click.option(
    "--expires", type=Expiry(), default=None, help="Expiry: 90d, 2027-01-01, or never.  [default: never]"
)
_priority_option = click.option(
    "--priority",
    type=click.Choice(list(PRIORITIES)),
    default=None,
    help="Priority over the organisation's other keys while requests wait.",
)
#: The columns that a narrow terminal keeps longest.
_IMPORTANT = (
    "name",
    "organisation",
    "limits",
    "models",
    "revoked",
    "former_until",
    "expires",
    "priority",
    "managed_by",
    "id",
)


@click.group(cls=SuggestingGroup)
def keys() -> None:
    """Create, list, update, rotate and revoke API keys."""


@keys.command(
    epilog="""\b
Examples:
  trunkline keys create --org acme --name ci
  trunkline keys create --org acme --name ci --model 'gpt-*' --limit requests/60s=60 --expires 90d
  trunkline keys create --org acme --name ci --expires 2027-01-01
  KEY=$(trunkline keys create --org acme --name ci)
  trunkline keys create --org acme --name trial --pins-targets --expires 1d
"""
)
@click.option("--org", shell_complete=completion.ORGS, required=True, help="The organisation that owns the key.")
@click.option("--name", required=True, help="Unique among the organisation's keys.")
@click.option(
    "--model", "models", multiple=True, help="Pattern of models that it may use; may be repeated.  [default: *]"
)
@click.option("--limit", "given", type=LimitFlag(), multiple=True, help="A limit; may be repeated.")
@_expiry_option
@_max_price_option
@_priority_option
@click.option(
    "--pins-targets",
    is_flag=True,
    help="Let its requests name one target: model MODEL@TARGET. Needs --expires within a day, and an admin.",
)
@click.option("--value", default="", help="For migration: the value of an existing key, as env:NAME or file:PATH.")
@control_options
def create(
    *,
    control: Control,
    org: str,
    name: str,
    models: tuple[str, ...],
    given: tuple[model.LimitSpec, ...],
    expires: int | None,
    max_price: int | None,
    priority: str | None,
    pins_targets: bool,
    value: str,
) -> None:
    """Create a key. Its value is printed once, alone on stdout, and stored as a hash."""
    secret = _secret(value)
    key = admin.Key(
        organisation=org,
        name=name,
        models=models,
        limits=map(document.limit, given),
        expires_at=expires or 0,
        max_price=max_price or 0,
        priority=_priority(priority),
        pins_targets=pins_targets,
    )
    with control.connect() as api, names.suggesting(api, "organisation", org):
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
@click.option("--org", shell_complete=completion.ORGS, default="", help="Only those of this organisation.")
@click.option("--revoked", is_flag=True, help="Include revoked keys.")
@output_option
@control_options
def list_keys(*, control: Control, org: str, revoked: bool, output: str) -> None:
    """List all keys by public id. Their values are not stored and cannot be shown."""
    with control.connect() as api:
        found = api.ListKeys(admin.ListKeysRequest(organisation=org, include_revoked=revoked)).keys
    rows = [
        {
            "id": each.id,
            "organisation": each.organisation,
            "name": each.name,
            "models": list(each.models),
            "limits": list(map(limit_text.text, each.limits)),
            "priority": PRIORITIES.word(each.priority, "normal"),
            "created": when(each.created_at),
            "expires": when(each.expires_at),
            "former_until": when(each.former_until),
            "managed_by": each.managed_by,
            "revoked": when(each.revoked_at),
        }
        for each in found
    ]
    columns = _COLUMNS if revoked else _COLUMNS[:-1]
    say(render(rows, columns, output, important=_IMPORTANT), lines=True)


@keys.command(
    epilog="""\b
Examples:
  trunkline keys update acme/ci --expires 2027-01-01
  trunkline keys update acme/ci --name nightly --model 'gpt-*' --model 'llama*'
  trunkline keys update acme/ci --end-grace
"""
)
@click.argument("key", metavar="KEY", shell_complete=completion.KEYS)
@click.option("--name", default=None, help="New name, unique among the organisation's keys.")
@click.option(
    "--model", "models", multiple=True, help="Pattern of models; may be repeated. Replaces the current ones."
)
@click.option(
    "--limit",
    "given",
    type=LimitFlag(),
    multiple=True,
    help="A limit; may be repeated. Replaces the current ones.",
)
@click.option("--no-limits", is_flag=True, help="Remove every limit.")
@click.option("--expires", type=Expiry(), default=None, help="Expiry: 90d, 2027-01-01, or never.")
@click.option(
    "--max-price", type=Usd(), default=None, help="Maximum estimated cost of a request in USD; 0: no maximum."
)
@_priority_option
@click.option("--end-grace", is_flag=True, help="Refuse the previous secret from now on.")
@change_options
def update(
    *,
    control: Control,
    key: str,
    name: str | None,
    models: tuple[str, ...],
    given: tuple[model.LimitSpec, ...],
    no_limits: bool,
    expires: int | None,
    max_price: int | None,
    priority: str | None,
    end_grace: bool,
) -> None:
    """Change the name and permissions of the KEY (its public id, ORG/NAME, or a NAME that is unique).

    Values that are not given stay, and so do its secrets.
    """
    given_any = name is not None or expires is not None or max_price is not None or priority is not None
    if not (given_any or models or given or no_limits or end_grace):
        raise UsageError("say what to change, such as --expires 90d or --model 'gpt-*'")
    if given and no_limits:
        raise UsageError("--limit and --no-limits cannot be combined")
    request = admin.UpdateKeyRequest(
        id=key,
        name=name,
        models=models,
        limits=map(document.limit, given),
        clear_limits=no_limits,
        expires_at=expires,
        max_price=max_price,
        priority=_priority(priority),
        end_grace=end_grace,
    )
    with control.connect() as api, names.suggesting(api, "key", key):
        stored = {each.id: each for each in api.ListKeys(admin.ListKeysRequest()).keys}
        answer = api.UpdateKey(request)
    say(f"~ key {answer.key.id} ({answer.key.organisation}/{answer.key.name})")
    if answer.key.id in stored:
        changes.say_between(objects.KEY.written(stored[answer.key.id]), objects.KEY.written(answer.key))
    changes.report(answer.propagation)


@keys.command(
    epilog="""\b
Examples:
  trunkline keys rotate acme/ci
  trunkline keys rotate acme/ci --grace 0s
  trunkline keys rotate acme/ci --ends newest
  KEY=$(trunkline keys rotate acme/ci)
"""
)
@click.argument("key", metavar="KEY", shell_complete=completion.KEYS)
@click.option(
    "--grace", type=SecondsFlag(), default=None, help="How long the previous secret keeps working.  [default: 24h]"
)
@click.option(
    "--ends",
    type=click.Choice(list(_ENDS)),
    default=None,
    help="Which secret ends at once, during the grace period of an earlier rotation.",
)
@click.option("--value", default="", help="For migration: the new secret, as env:NAME or file:PATH.")
@control_options
def rotate(*, control: Control, key: str, grace: int | None, ends: str | None, value: str) -> None:
    """Give the KEY (its public id, ORG/NAME, or a NAME that is unique) a new secret, which is printed once.

    The old secret works until the end of the grace period. Both are one key: its id, limits, usage and nodes stay.
    """
    request = admin.RotateKeyRequest(
        id=key,
        grace_seconds=grace,
        ends=_ENDS[ends] if ends else admin.RotateKeyRequest.ENDS_UNSPECIFIED,
        value=_secret(value),
    )
    with control.connect() as api, names.suggesting(api, "key", key):
        answer = api.RotateKey(request)
    until = when(answer.key.former_until)
    former = f"the previous one works until {until}" if until else "the previous one is refused from now on"
    label = f"{answer.key.organisation}/{answer.key.name}"
    say(f"~ key {answer.key.id} ({label}); {former}; the new value is not shown again:", err=True)
    say(answer.value)
    changes.report(answer.propagation, answer.warnings)


@keys.command(
    epilog="""\b
Examples:
  trunkline keys revoke acme/ci
  trunkline keys revoke KEY_ID
"""
)
@click.argument("key", metavar="KEY", shell_complete=completion.KEYS)
@control_options
def revoke(*, control: Control, key: str) -> None:
    """Refuse the KEY (its public id, ORG/NAME, or a NAME that is unique) from now on, with all its secrets."""
    with control.connect() as api, names.suggesting(api, "key", key):
        answer = api.RevokeKey(admin.RevokeKeyRequest(id=key))
    say(f"- key {answer.key.id} ({answer.key.organisation}/{answer.key.name})")
    changes.report(answer.propagation)


def _priority(word: str | None) -> policy.Priority.ValueType:
    return PRIORITIES[word] if word else policy.PRIORITY_UNSPECIFIED


def _secret(reference: str) -> str:
    """Returns the value that `--value` refers to; empty for none. Raises UsageError."""
    try:
        return Secrets(os.environ, Path.cwd()).credential(reference) if reference else ""
    except ValueError as error:
        raise UsageError(f"--value: {error}") from error
