"""`trunkline smoke`."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub

from trunkline import completion
from trunkline.client import Control, control_options
from trunkline.errors import ControlError, UsageError
from trunkline.output import output_option, render
from trunkline.smoke.checklist import Checklist
from trunkline.smoke.client import SmokeClient
from trunkline.smoke.demo import demonstration
from trunkline.smoke.findings import COLUMNS, IMPORTANT, NUMBERS, SmokeFinding, SmokeFindings
from trunkline.smoke.sandbox import PREFIX, Sandbox, default_organisation
from trunkline.text import say


@click.command(
    epilog="""\b
Examples:
  trunkline smoke
  trunkline smoke --demo
  trunkline smoke --model gpt-4.1 --org acme
  trunkline smoke --json | jq '.[] | select(.outcome == "FAILED")'
"""
)
@click.option("--demo", is_flag=True, help="Test two simulated providers and a node instead.")
@click.option(
    "--model", "models", multiple=True, shell_complete=completion.ROUTES, help="Only this route; may be repeated."
)
@click.option(
    "--org",
    default="",
    shell_complete=completion.ORGS,
    help="Organisation whose routes and nodes to test, and which is billed.  [default: default, or the first]",
)
@click.option(
    "--base-url", default="", help="Base URL of the OpenAI listener.  [default: the one in credentials.json]"
)
@click.option(
    "--base-url-ca-file",
    type=click.Path(exists=True, dir_okay=False),
    default=None,
    help="CAs (PEM) to trust for an https base URL.  [default: public ones]",
)
@output_option
@control_options
def smoke(
    *,
    control: Control,
    demo: bool,
    models: Sequence[str],
    org: str,
    base_url: str,
    base_url_ca_file: str | None,
    output: str,
) -> None:
    """Test a running gateway: every target of every route, failover, costs, cache, limits.

    Sends a few tiny requests per target, which are billed like any other, with its own keys and routes, which it
    removes at the end. It changes nothing in use, and makes no provider fail: for the failover, the target is
    paused in a copy of the route. Exits with 1 if a check fails.
    """
    url = base_url or control.base_url
    if not url:
        raise UsageError("the gateway's base URL is not known: give it with --base-url https://HOST/v1")
    client = SmokeClient(url, base_url_ca_file)
    findings = SmokeFindings(_said if output == "table" else lambda finding: None)
    with control.connect() as api:
        if demo:
            _try_demo(api, client, findings)
        else:
            _try(api, client, findings, models, org)
    if output == "table":
        say("")
    rows = [each.row() for each in findings.found]
    say(render(rows, COLUMNS, output, right=NUMBERS, important=IMPORTANT), lines=True)
    if output == "table":
        ok = sum(each.outcome == "ok" for each in findings.found)
        say(f"{ok} ok, {findings.failed} failed, {len(findings.found) - ok - findings.failed} skipped", err=True)
    if findings.failed:
        raise click.exceptions.Exit(1)


def _try(api: AdminStub, client: SmokeClient, findings: SmokeFindings, models: Sequence[str], org: str) -> None:
    organisation = default_organisation(api, org)
    routes = [
        each
        for each in api.ListRoutes(admin.ListRoutesRequest()).routes
        if each.organisation in {"", organisation} and not each.model.startswith(PREFIX)
    ]
    chosen = [each for each in routes if not models or each.model in models]
    if unknown := set(models).difference(each.model for each in chosen):
        there = ", ".join(sorted({each.model for each in routes})) or "none"
        raise ControlError(f"no route {', '.join(sorted(unknown))} for {organisation}; there are: {there}")
    if not chosen:
        raise ControlError(
            "there is no route yet: `trunkline routes set MODEL --target …`, or `trunkline smoke --demo`"
        )
    with Sandbox(api, organisation) as sandbox:
        Checklist(client, sandbox, findings, chosen).run()


def _try_demo(api: AdminStub, client: SmokeClient, findings: SmokeFindings) -> None:
    if not _is_this_machine(client.host):
        raise UsageError(
            f"--demo runs its providers on this machine, which the gateway at {client.host} cannot reach"
        )
    say("starting two providers and a node", err=True)
    with demonstration(api) as running, Sandbox(api, running.organisation) as sandbox:
        checklist = Checklist(client, sandbox, findings, [running.route])
        checklist.run()
        checklist.failure(running.route, running.first)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _said(finding: SmokeFinding) -> None:
    """Prints progress, one line for each check."""
    say(f"{finding.outcome:<8}{finding.check}: {finding.subject}", err=True)
