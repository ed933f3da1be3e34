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
from trunkline.parameters import Seconds
from trunkline.text import say


@click.group(cls=SuggestingGroup)
def gateway() -> None:
    """What concerns the clients' listener as a whole."""


@gateway.command(
    epilog="""\b
Examples:
  trunkline gateway show
"""
)
@control_options
def show(*, control: Control) -> None:
    """Browsers' origins (`cors`), default models (`defaults`), where answers are kept (`cache`) and where alerts
    are sent (`alerts`), as in trunkline.yaml.
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
""",
)
@click.option("--cors-origin", "origins", multiple=True, help="A page's origin; all of them replace those before.")
@click.option("--cors-max-age", "max_age", type=Seconds(), help="How long browsers may keep a preflight's answer.")
@click.option("--no-cors", is_flag=True, help="Browsers' pages of other origins may not call the gateway.")
@click.option("--default", "defaults", multiple=True, help="ENDPOINT=MODEL for requests that name no model.")
@click.option("--cache-store", help="Where answers are kept: memory, or redis://HOST:PORT/NUMBER.")
@click.option(
    "--cache-most-bytes", type=click.IntRange(min=0), help="Bytes of memory that they may take; 0: 256 MiB."
)
@click.option("--alert-webhook", help="Where alerts of limits are sent: https://HOST/PATH; empty: nowhere.")
@click.option("--alert-secret", metavar="env:NAME|file:PATH", help="Signs them.")
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
    alert_webhook: str | None,
    alert_secret: str | None,
) -> None:
    """Change what is given, and leave the rest as it is."""
    if no_cors and (origins or max_age is not None):
        raise UsageError("--no-cors goes with neither --cors-origin nor --cors-max-age")
    of_cache = cache_store is not None or cache_most_bytes is not None
    of_alerts = alert_webhook is not None or alert_secret is not None
    if not (no_cors or origins or max_age is not None or defaults or of_cache or of_alerts):
        raise UsageError(
            "nothing to change: give --cors-origin, --cors-max-age, --no-cors, --default, --cache-store, "
            "--cache-most-bytes, --alert-webhook or --alert-secret"
        )
    with control.connect() as api:
        stored = api.GetGateway(admin.GetGatewayRequest()).gateway
        wanted = admin.Gateway()
        wanted.CopyFrom(stored)
        if no_cors:
            wanted.ClearField("cors")
        if origins:
            wanted.cors.origins[:] = origins
        if max_age is not None:
            wanted.cors.max_age_seconds = max_age
        if cache_store is not None:
            wanted.cache.store = cache_store
        if cache_most_bytes is not None:
            wanted.cache.most_bytes = cache_most_bytes
        if alert_webhook is not None:
            wanted.alerts.webhook = alert_webhook
            if not alert_webhook:
                wanted.ClearField("alerts")
        if alert_secret is not None:
            wanted.alerts.secret = _secret(alert_secret)
        models = {each.endpoint: each.model for each in wanted.defaults} | dict(map(_default, defaults))
        del wanted.defaults[:]
        wanted.defaults.extend(document.defaults({endpoint: name for endpoint, name in models.items() if name}))
        answer = api.PutGateway(admin.PutGatewayRequest(gateway=wanted))
    say("~ gateway")
    changes.say_between(export.gateway(stored), export.gateway(wanted))
    changes.report(answer.propagation)


def _secret(text: str) -> str:
    try:
        return Secrets(os.environ, Path.cwd()).credential(text)
    except ValueError as error:
        raise UsageError(f"--alert-secret: {error}") from error


def _default(text: str) -> tuple[str, str]:
    endpoint, separator, name = text.partition("=")
    if not separator:
        raise UsageError(f'--default "{text}": write ENDPOINT=MODEL, such as moderations=omni-moderation-latest')
    return endpoint.removeprefix("/v1/"), name
