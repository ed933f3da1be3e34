"""The options of `join` and `run` that set the owner's preferences, with their keys in node.yaml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from node_sidecar.errors import SettingsError

F = TypeVar("F", bound=Callable[..., Any])


def preference_options(command: F) -> F:
    """Adds the options; `given_preferences` turns their values into a mapping."""
    for option in reversed(
        (
            click.option(
                "--upstream", "upstreams", multiple=True, metavar="URL", help="A local server; may be repeated."
            ),
            click.option(
                "--direct",
                metavar="HOST:PORT",
                help="Address at which the gateway reaches this node (no tunnels).",
            ),
            click.option(
                "--concurrency",
                type=int,
                metavar="N",
                help="Requests at once; 0 for no limit.  [default: what the local servers can batch]",
            ),
            click.option("--queue", type=int, metavar="N", help="Requests that wait while all slots are in use."),
            click.option(
                "--share", metavar="PERCENT", help="Share of the slots that callers other than the owner may use."
            ),
            click.option("--own-first/--no-own-first", default=None, help="The owner's requests go first."),
            click.option("--maintenance/--no-maintenance", default=None, help="Serve only the owner."),
            click.option(
                "--price",
                "prices",
                multiple=True,
                metavar="MODEL=IN/OUT",
                help="USD per million tokens; `*` works.",
            ),
            click.option("--model", "models", multiple=True, metavar="PATTERN", help="Offer only these models."),
        )
    ):
        command = option(command)
    return command


def given_preferences(**given: Any) -> dict[str, Any]:
    """Returns the given options under their keys in node.yaml.

    Raises:
        SettingsError: a price is not MODEL=IN/OUT.
    """
    words = {key: value for key, value in given.items() if value is not None and value != ()}
    for key in ("upstreams", "models"):
        if key in words:
            words[key] = list(words[key])
    if "prices" in words:
        words["prices"] = dict(_price(text) for text in words["prices"])
    return words


def _price(text: str) -> tuple[str, dict[str, str]]:
    model, equals, amounts = text.rpartition("=")
    given, slash, taken = amounts.partition("/")
    if not (model and equals and given and slash and taken):
        raise SettingsError(f"--price: {text!r} is not MODEL=IN/OUT, like llama3:70b=0.20/0.60")
    return model, {"input": given, "output": taken}
