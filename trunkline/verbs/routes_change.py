"""`trunkline routes set`, `pause`, `resume` and `remove`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from google.protobuf.message import Message
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import PRIVACIES, STRATEGIES
from trunkline_proto.policy.words import AFFINITIES, CACHE_SCOPES, PROMPT_CACHE_KEYS
from trunkline_proto.words import Words

from trunkline import changes, completion, names
from trunkline.client import Control, change_options
from trunkline.config import document, model, objects
from trunkline.errors import UsageError
from trunkline.parameters import LimitFlag, Milliseconds, SecondsFlag, TargetFlag
from trunkline.text import say


@click.command(
    "set",
    epilog="""\b
Examples:
  trunkline routes set gpt-4.1 --target openai/gpt-4.1
  trunkline routes set gpt-4.1 --target openai/gpt-4.1,weight=80,price=2.00:8.00 --target other/x/gpt-4.1,weight=20
  trunkline routes set gpt-4.1 --target openai/gpt-4.1,price=3.00:9.00,cached=0.75,request=0.001,from=2026-12-01
  trunkline routes set gpt-4.1 --first-byte 30s --strategy priority
  trunkline routes set gpt-4.1 --limit concurrency=50 --queue-longest 30s
  trunkline routes set gpt-4.1 --limit concurrency=50 --limit tokens/60s=200000 --reserved-output-tokens 2048
""",
)
@click.argument("model_name", metavar="MODEL", shell_complete=completion.ROUTES)
@click.option("--org", shell_complete=completion.ORGS, default="", help="Make it the organisation's own route.")
@click.option(
    "--target",
    "targets",
    type=TargetFlag(),
    metavar=TargetFlag.name,
    multiple=True,
    help="A target that serves it; may be repeated.",
)
@click.option("--strategy", type=click.Choice(list(STRATEGIES)), default=None, help="How targets are chosen.")
@click.option("--privacy", type=click.Choice(list(PRIVACIES)), default=None, help="Which targets may serve it.")
@click.option(
    "--affinity",
    type=click.Choice(list(AFFINITIES)),
    default=None,
    help="What related requests share: the pool, or also the target and credential (docs/affinity.md).",
)
@click.option("--first-byte", type=Milliseconds(), default=None, help="Time limit to the first byte, per attempt.")
@click.option("--idle", type=Milliseconds(), default=None, help="Time limit of silence in a running answer.")
@click.option("--connect", type=Milliseconds(), default=None, help="Time limit for connecting to a target.")
@click.option("--cache-ttl", type=SecondsFlag(), default=None, help="Lifetime of a cached answer; 0s: no cache.")
@click.option("--cache-scope", type=click.Choice(list(CACHE_SCOPES)), default=None, help="Who shares an answer.")
@click.option(
    "--cache-most-bytes",
    type=click.IntRange(min=0),
    default=None,
    help="Maximum bytes of its cached answers; 0: no separate bound.",
)
@click.option(
    "--queue-longest",
    type=Milliseconds(),
    default=None,
    help="Maximum wait of a request for a place; 0s: no waiting.",
)
@click.option(
    "--queue-size", type=click.IntRange(min=0), default=None, help="Maximum number of waiting requests; 0: 200."
)
@click.option(
    "--prompt-cache-key",
    type=click.Choice(list(PROMPT_CACHE_KEYS)),
    default=None,
    help="Source of the prompt_cache_key for requests without one (docs/routing.md).",
)
@click.option(
    "--prompt-cache-stable-order/--no-prompt-cache-stable-order",
    default=None,
    help="Sort members of tools and schemas into a stable order.",
)
@click.option(
    "--limit",
    "limits",
    type=LimitFlag(),
    multiple=True,
    help="A limit for all requests of the route; may be repeated. Replaces the current ones.",
)
@click.option(
    "--reserved-output-tokens",
    type=click.IntRange(min=0),
    default=None,
    help="Completion tokens to reserve for a request that states no maximum; 0: 1,024.",
)
@click.option(
    "--balance",
    type=click.IntRange(0, 99),
    default=None,
    help="For the strategy balanced: the weight of time relative to cost, in percent; 0: 50.",
)
@change_options
def set_route(
    *,
    control: Control,
    model_name: str,
    org: str,
    targets: tuple[model.TargetSpec, ...],
    strategy: str | None,
    privacy: str | None,
    affinity: str | None,
    first_byte: int | None,
    idle: int | None,
    connect: int | None,
    cache_ttl: int | None,
    cache_scope: str | None,
    cache_most_bytes: int | None,
    queue_longest: int | None,
    queue_size: int | None,
    prompt_cache_key: str | None,
    prompt_cache_stable_order: bool | None,
    limits: tuple[model.LimitSpec, ...],
    reserved_output_tokens: int | None,
    balance: int | None,
) -> None:
    """Create the route MODEL, or change the given values; --target replaces all its targets.

    A target without a price or a context keeps the stored one; price=0:0 makes it free, and context=0 removes the
    context. A paused target stays paused until `routes resume`. A new price applies from now on, or from the date
    after from=; past charges do not change. Prints the difference, including removed targets and limits.
    """
    with control.connect() as api:
        stored = names.find_route(api.ListRoutes(admin.ListRoutesRequest()).routes, model_name, org)
        if stored is None and not targets:
            raise UsageError(
                f"there is no route {names.route_label(model_name, org)} yet: give it a --target PROVIDER/MODEL"
            )
        route = admin.Route(model=model_name, organisation=org)
        if stored is not None:
            route.CopyFrom(stored)
        if targets:
            replaced = [_with_what_is_stored(each, route.targets) for each in targets]
            del route.targets[:]
            route.targets.extend(replaced)
        _change(route.timeouts, first_byte_ms=first_byte, idle_ms=idle, connect_ms=connect)
        _change(
            route,
            strategy=_number(STRATEGIES, strategy),
            privacy=_number(PRIVACIES, privacy),
            affinity=_number(AFFINITIES, affinity),
            cache_ttl_seconds=cache_ttl,
            cache_scope=_number(CACHE_SCOPES, cache_scope),
            cache_most_bytes=cache_most_bytes,
            queue_longest_ms=queue_longest,
            queue_size=queue_size,
            prompt_cache_key=_number(PROMPT_CACHE_KEYS, prompt_cache_key),
            prompt_cache_stable_order=prompt_cache_stable_order,
            reserved_output_tokens=reserved_output_tokens,
            balance=balance,
        )
        if limits:
            del route.limits[:]
            route.limits.extend(map(document.limit, limits))
        answer = api.PutRoute(admin.PutRouteRequest(route=route))
    say(f"{'~' if stored else '+'} route {names.route_label(model_name, org)}")
    if stored is not None:
        changes.say_between(objects.ROUTE.written(stored), objects.ROUTE.written(route))
    changes.report(answer.propagation, answer.warnings)


def _pausing(help_: str, *, paused: bool) -> click.Command:
    """Makes the command that pauses targets of a route, or the one that resumes them."""
    verb = "pause" if paused else "resume"

    @click.command(
        verb,
        help=help_,
        epilog=f"""\b
Examples:
  trunkline routes {verb} gpt-4.1 openai/gpt-4.1
  trunkline routes {verb} gpt-4.1 nodes/llama3:70b --org acme
""",
    )
    @click.argument("model_name", metavar="MODEL", shell_complete=completion.ROUTES)
    @click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
    @click.option("--org", shell_complete=completion.ORGS, default="", help="The organisation's own route.")
    @change_options
    def command(*, control: Control, model_name: str, targets: tuple[str, ...], org: str) -> None:
        with control.connect() as api:
            stored = names.find_route(api.ListRoutes(admin.ListRoutesRequest()).routes, model_name, org)
            if stored is None:
                raise UsageError(f"there is no route {names.route_label(model_name, org)}")
            places = {names.target_label(each): each for each in stored.targets}
            for place in targets:
                if place not in places:
                    raise UsageError(f"the route has no target {place}: it has {', '.join(places)}")
            route = admin.Route()
            route.CopyFrom(stored)
            for each in route.targets:
                each.paused = paused if names.target_label(each) in targets else each.paused
            answer = api.PutRoute(admin.PutRouteRequest(route=route))
        say(f"~ route {names.route_label(model_name, org)}")
        changes.say_between(objects.ROUTE.written(stored), objects.ROUTE.written(route))
        changes.report(answer.propagation, answer.warnings)

    return command


pause = _pausing(
    "Take targets out of the route MODEL without forgetting their place: requests go to its other targets. "
    "What runs there finishes, and stored responses there can still be fetched.",
    paused=True,
)
resume = _pausing("Let paused targets of the route MODEL serve again.", paused=False)


@click.command(
    epilog="""\b
Examples:
  trunkline routes remove gpt-4.1
  trunkline routes remove gpt-4.1 --org acme
"""
)
@click.argument("model_name", metavar="MODEL", shell_complete=completion.ROUTES)
@click.option("--org", shell_complete=completion.ORGS, default="", help="The organisation's own route.")
@change_options
def remove(*, control: Control, model_name: str, org: str) -> None:
    """Remove the route MODEL."""
    with control.connect() as api, names.suggesting(api, "route", names.route_label(model_name, org)):
        answer = api.DeleteRoute(admin.DeleteRouteRequest(model=model_name, organisation=org))
    say(f"- route {names.route_label(model_name, org)}")
    changes.report(answer.propagation)


def _number(words: Words[Any], word: str | None) -> int | None:
    """Returns the enumeration's member for a word; None if no word was given."""
    return None if word is None else words[word]


def _change(message: Message, **given: int | None) -> None:
    """Sets the fields that are given."""
    for name, value in given.items():
        if value is not None:
            setattr(message, name, value)


def _with_what_is_stored(given: model.TargetSpec, stored: Sequence[admin.RouteTarget]) -> admin.RouteTarget:
    """Returns the target with its stored price and context where none is given; a paused one stays paused.

    A change of weight must not make a target free, remove its context limit, or resume it.
    """
    target = document.target(given)
    place = (target.provider, target.model, target.nodes)
    known = next((each for each in stored if (each.provider, each.model, each.nodes) == place), None)
    if known is None:
        return target
    if not target.HasField("price") and known.HasField("price"):
        target.price.CopyFrom(known.price)
    if "context" not in given.model_fields_set:
        target.context = known.context
    target.paused = target.paused or known.paused
    return target
