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
    "apply": "Make the gateway what a file says.",
    "export": "Print the gateway's state as a file for `apply`.",
    "status": "Every Envoy and translator: what it runs, what it refused; every node.",
    "providers": "Where models are: base URLs and credentials.",
    "routes": "What clients ask for, and which targets serve it.",
    "gateway": "What concerns the clients' listener as a whole: browsers' origins, default models.",
    "orgs": "Organisations, which own keys and limits.",
    "keys": "API keys: create, list, revoke.",
    "nodes": "Own machines: invite, list, drain, remove, what they contributed.",
    "limits": "Upper bounds of organisations, keys and routes.",
    "usage": "What was used and what it cost: reports, top, compare, export.",
    "requests": "Requests one by one: running, waiting, ended; explained, cancelled.",
    "users": "Who may sign in, and as what: list, invite, role, disable, remove, reset.",
    "sso": "Identity providers, and whether passwords open anything.",
    "jwt": "Whose access tokens clients may send instead of an API key.",
    "login": "Sign in to a gateway elsewhere, by a link.",
    "logout": "Revoke what `login` stored.",
    "audit": "Who changed what, newest first; checked against tampering.",
    "smoke": "Try every target, failover, costs, cache and limits of a running gateway.",
    "import": "Configurations of other gateways as trunkline.yaml: litellm.",
    "docs": "The documentation of this version, in a browser.",
    "completion": "What bash, zsh or fish need to complete all this.",
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
