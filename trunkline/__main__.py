"""`trunkline`: runs the gateway on one machine, and administers it.

Subcommands are imported on use, so that `trunkline up` does not pay for what only `apply` needs.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from trunkline.errors import TrunklineError
from trunkline.groups import SuggestingGroup
from trunkline.text import prepare_streams, say, visible

_VERBS = {
    "up": "trunkline.verbs.up:up",
    "restart": "trunkline.verbs.restart:restart",
    "apply": "trunkline.verbs.apply:apply",
    "export": "trunkline.verbs.export:export",
    "status": "trunkline.verbs.status:status",
    "providers": "trunkline.verbs.providers:providers",
    "routes": "trunkline.verbs.routes:routes",
    "gateway": "trunkline.verbs.gateway:gateway",
    "orgs": "trunkline.verbs.orgs:orgs",
    "keys": "trunkline.verbs.keys:keys",
    "nodes": "trunkline.verbs.nodes:nodes",
    "limits": "trunkline.verbs.limits:limits",
    "usage": "trunkline.verbs.usage:usage",
    "requests": "trunkline.verbs.requests:requests",
    "users": "trunkline.verbs.users:users",
    "sso": "trunkline.verbs.sso:sso",
    "jwt": "trunkline.verbs.jwt:jwt",
    "login": "trunkline.verbs.login:login",
    "logout": "trunkline.verbs.login:logout",
    "audit": "trunkline.verbs.audit:audit",
    "smoke": "trunkline.verbs.smoke:smoke",
    "import": "trunkline.verbs.import_:import_",
    "docs": "trunkline.verbs.docs:docs",
    "completion": "trunkline.verbs.completion:completion",
}
_SUMMARIES = {
    "up": "Run the gateway on this machine until Ctrl-C.",
    "restart": "Restart `trunkline up` in place, without refusing a request.",
    "apply": "Apply a file to the gateway.",
    "export": "Print the gateway's state as a file for `apply`.",
    "status": "Show what every Envoy, translator and node runs, and problems.",
    "providers": "Manage providers: base URLs and credentials.",
    "routes": "Manage routes: the models clients request, and their targets.",
    "gateway": "Settings of the whole gateway: browsers' origins, default models.",
    "orgs": "Manage organisations, which own keys and limits.",
    "keys": "Create, list, rotate and revoke API keys.",
    "nodes": "Invite, list, drain and remove your own machines.",
    "limits": "Show and change limits of organisations, keys and routes.",
    "usage": "Report usage and cost: report, top, compare, export.",
    "requests": "List, explain and cancel single requests.",
    "users": "Manage people who sign in, and their roles.",
    "sso": "Manage identity providers, and whether passwords are accepted.",
    "jwt": "Manage issuers whose access tokens clients may use as API keys.",
    "login": "Sign in to a remote gateway through a link.",
    "logout": "Revoke the token of `login`.",
    "audit": "Show who changed what; detect tampering.",
    "smoke": "Test targets, failover, costs, cache and limits.",
    "import": "Import configurations of other gateways: litellm.",
    "docs": "Open the documentation of this version in a browser.",
    "completion": "Print the completion script for bash, zsh or fish.",
}


_INTERRUPTED = 130


class _LazyGroup(SuggestingGroup):
    """A group whose commands are imported on use. Their errors become one clear line and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, _, attribute = _VERBS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))

    def main(self, *args: Any, **extra: Any) -> Any:
        prepare_streams()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TrunklineError as error:
            raise click.ClickException(visible(str(error), lines=True)) from error
        except KeyboardInterrupt:
            say("interrupted", err=True)
            ctx.exit(_INTERRUPTED)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trunkline")
def main() -> None:
    """A self-hosted, OpenAI-compatible gateway.

    The admin commands find the control plane and the admin token in ./data/credentials.json (or --data-dir), in
    TRUNKLINE_CONTROL (HOST:PORT, http://…, https://… or unix:PATH) and TRUNKLINE_ADMIN_TOKEN, or in what
    `trunkline login` stored.

    Exit codes: 0 success; 1 refused, not found or not reachable; 2 invalid command line, or a change is stored but
    an Envoy or translator rejected it; 130 interrupted.
    """


if __name__ == "__main__":
    main()
