"""`trunkline gateway`."""

from __future__ import annotations

import os
from pathlib import Path

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes
from trunkline.client import Control, change_options, control_options
from trunkline.config import document, export
from trunkline.config.secrets import Secrets
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.parameters import SecondsFlag
from trunkline.text import say


@click.group(cls=SuggestingGroup)
def gateway() -> None:
    """Show and change settings of the whole gateway."""


@gateway.command(
    epilog="""\b
Examples:
  trunkline gateway show
"""
)
@control_options
def show(*, control: Control) -> None:
    """Show browsers' origins (`cors`), default models (`defaults`), the store of cached answers (`cache`) and the
    webhook of alerts (`alerts`), as in trunkline.yaml.
    """
    with control.connect() as api:
        found = api.GetGateway(admin.GetGatewayRequest()).gateway
    say(
        (export.gateway_text(found) or "cors: {}\ndefaults: {}\ncache: {}\nalerts: {}\n").removesuffix("\n"),
        lines=True,
    )


@gateway.command(
    "set",
    epilog="""\b
Examples:
  trunkline gateway set --cors-origin https://app.example.com --cors-origin 'http://localhost:*'
  trunkline gateway set --no-cors
  trunkline gateway set --default moderations=omni-moderation-latest --default images/generations=gpt-image-1
  trunkline gateway set --default moderations=
  trunkline gateway set --cache-store redis://cache.internal:6379/0
  trunkline gateway set --alert-webhook https://hooks.example/trunkline --alert-secret env:WEBHOOK_SECRET
  trunkline gateway set --cache-store rediss://trunkline@cache.internal --cache-password env:CACHE_PASSWORD
""",
)
@click.option(
    "--cors-origin",
    "origins",
    multiple=True,
    help="An origin of pages; may be repeated. Replaces the current ones.",
)
@click.option(
    "--cors-max-age", "max_age", type=SecondsFlag(), help="How long browsers may cache a preflight's answer."
)
@click.option("--no-cors", is_flag=True, help="Forbid pages of other origins to call the gateway.")
@click.option("--default", "defaults", multiple=True, help="ENDPOINT=MODEL for requests that name no model.")
@click.option("--cache-store", help="Store of cached answers: memory, or redis://[USER@]HOST:PORT/NUMBER.")
@click.option(
    "--cache-most-bytes",
    type=click.IntRange(min=0),
    help="Maximum bytes of memory for cached answers; 0: 256 MiB.",
)
@click.option("--cache-password", help="Password of the store, as env:NAME or file:PATH.")
@click.option("--no-cache-password", is_flag=True, help="Remove the stored password.")
@click.option(
    "--cache-ca-file",
    help="PEM file with the CAs to trust for rediss://, by its path on the translators' machines.",
)
@click.option("--alert-webhook", help="URL to which alerts of limits are sent: https://HOST/PATH; empty: none.")
@click.option(
    "--alert-secret", metavar="env:NAME|file:PATH", help="Secret that signs alerts, as env:NAME or file:PATH."
)
@change_options
def set_gateway(
    *,
    control: Control,
    origins: tuple[str, ...],
    max_age: int | None,
    no_cors: bool,
    defaults: tuple[str, ...],
    cache_store: str | None,
    cache_most_bytes: int | None,
    cache_password: str | None,
    no_cache_password: bool,
    cache_ca_file: str | None,
    alert_webhook: str | None,
    alert_secret: str | None,
) -> None:
    """Change the given settings; all others stay."""
    if no_cors and (origins or max_age is not None):
        raise UsageError("--no-cors cannot be combined with --cors-origin or --cors-max-age")
    if no_cache_password and cache_password is not None:
        raise UsageError("--no-cache-password cannot be combined with --cache-password")
    given = {"store": cache_store, "most_bytes": cache_most_bytes, "ca_file": cache_ca_file}
    given = {name: value for name, value in given.items() if value is not None}
    of_cache = given or cache_password is not None or no_cache_password
    of_alerts = alert_webhook is not None or alert_secret is not None
    if not (no_cors or origins or max_age is not None or defaults or of_cache or of_alerts):
        raise UsageError(
            "nothing to change: give --cors-origin, --cors-max-age, --no-cors, --default, --cache-store, "
            "--cache-most-bytes, --cache-password, --no-cache-password, --cache-ca-file, --alert-webhook or "
            "--alert-secret"
        )
    with control.connect() as api:
        stored = api.GetGateway(admin.GetGatewayRequest()).gateway
        wanted = changes.copied(stored)
        if no_cors:
            wanted.ClearField("cors")
        if origins:
            wanted.cors.origins[:] = origins
        if max_age is not None:
            wanted.cors.max_age_seconds = max_age
        for name, value in given.items():
            setattr(wanted.cache, name, value)
        if cache_password is not None:
            wanted.cache.password = _secret("--cache-password", cache_password)
        wanted.cache.clear_password = no_cache_password
        if alert_webhook is not None:
            wanted.alerts.webhook = alert_webhook
            if not alert_webhook:
                wanted.ClearField("alerts")
        if alert_secret is not None:
            wanted.alerts.secret = _secret("--alert-secret", alert_secret)
        models = {each.endpoint: each.model for each in wanted.defaults} | dict(map(_default, defaults))
        del wanted.defaults[:]
        wanted.defaults.extend(document.defaults({endpoint: name for endpoint, name in models.items() if name}))
        answer = api.PutGateway(admin.PutGatewayRequest(gateway=wanted))
    say("~ gateway")
    changes.say_between(export.gateway(stored), export.gateway(wanted))
    if cache_password is not None or no_cache_password:
        say(f"    cache.password: {'removed' if no_cache_password else 'given'} (not shown)")
    changes.report(answer.propagation)


def _secret(flag: str, text: str) -> str:
    try:
        return Secrets(os.environ, Path.cwd()).credential(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from error


def _default(text: str) -> tuple[str, str]:
    endpoint, separator, name = text.partition("=")
    if not separator:
        raise UsageError(f'--default "{text}": write ENDPOINT=MODEL, such as moderations=omni-moderation-latest')
    return endpoint.removeprefix("/v1/"), name
