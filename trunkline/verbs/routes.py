"""`trunkline routes`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from google.protobuf.message import Message
from trunkline_proto.admin.v1 import admin_pb2 as admin, routing_pb2 as routing
from trunkline_proto.admin.words import PRIVACIES, STRATEGIES
from trunkline_proto.policy.words import AFFINITIES, CACHE_SCOPES, PROMPT_CACHE_KEYS

from trunkline import changes, completion, names
from trunkline.client import Control, change_options, control_options
from trunkline.config import document, model, objects
from trunkline.config.export import route_text, route_values
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.parameters import LimitFlag, Milliseconds, SecondsFlag, TargetFlag
from trunkline.text import as_json, say
from trunkline.verbs.routes_simulate import simulate

_COLUMNS = ("model", "organisation", "strategy", "targets", "privacy", "managed_by")


@click.group(cls=SuggestingGroup)
def routes() -> None:
    """Manage routes: the models that clients request, and the targets that serve them."""


@routes.command(
    "list",
    epilog="""\b
Examples:
  trunkline routes list
  trunkline routes list --output json
""",
)
@output_option
@control_options
def list_routes(*, control: Control, output: str) -> None:
    """List all routes, with their targets as TARGET*WEIGHT, tier by tier."""
    with control.connect() as api:
        found = api.ListRoutes(admin.ListRoutesRequest()).routes
    rows = [
        {
            "model": each.model,
            "organisation": each.organisation,
            "strategy": STRATEGIES.word(each.strategy, "weighted"),
            "targets": [_target(target) for target in each.targets],
            "privacy": PRIVACIES.word(each.privacy, "any"),
            "managed_by": each.managed_by,
        }
        for each in found
    ]
    say(render(rows, _COLUMNS, output, important=("model", "targets")), lines=True)


@routes.command(
    epilog="""\b
Examples:
  trunkline routes show gpt-4.1
  trunkline routes show gpt-4.1 --org acme
  trunkline routes show gpt-4.1 --json
"""
)
@click.argument("model_name", metavar="MODEL", shell_complete=completion.ROUTES)
@click.option("--org", shell_complete=completion.ORGS, default="", help="The organisation's own route.")
@click.option("--json", "in_json", is_flag=True, help="The same fields as JSON.")
@control_options
def show(*, control: Control, model_name: str, org: str, in_json: bool) -> None:
    """Show one route in the notation of trunkline.yaml."""
    with control.connect() as api:
        stored = api.ListRoutes(admin.ListRoutesRequest()).routes
    found = _find(stored, model_name, org)
    if found is None:
        known = [names.route_label(each.model, each.organisation) for each in stored]
        raise names.unknown("route", names.route_label(model_name, org), known)
    if in_json:
        say(as_json(route_values(found)), lines=True)
        return
    say(route_text(found), lines=True, nl=False)


@routes.command(
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
    help="What stays the same from one request to the next (docs/affinity.md).",
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
    help="A limit for all requests of the route; may be repeated. They replace the present limits.",
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
        stored = _find(api.ListRoutes(admin.ListRoutesRequest()).routes, model_name, org)
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
        if strategy is not None:
            route.strategy = STRATEGIES[strategy]
        if privacy is not None or affinity is not None:
            _place(route, privacy, affinity)
        _change(route.timeouts, first_byte_ms=first_byte, idle_ms=idle, connect_ms=connect)
        _set_cache(route, cache_ttl, cache_scope, cache_most_bytes)
        _change(
            route,
            queue_longest_ms=queue_longest,
            queue_size=queue_size,
            prompt_cache_key=None if prompt_cache_key is None else PROMPT_CACHE_KEYS[prompt_cache_key],
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


def _set_cache(route: admin.Route, ttl: int | None, scope: str | None, most_bytes: int | None) -> None:
    if ttl is not None:
        route.cache_ttl_seconds = ttl
    if scope is not None:
        route.cache_scope = CACHE_SCOPES[scope]
    if most_bytes is not None:
        route.cache_most_bytes = most_bytes


def _pausing(help_: str, *, paused: bool) -> click.Command:
    """Makes the command that pauses targets of a route, or the one that resumes them."""
    verb = "pause" if paused else "resume"

    @routes.command(
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
            stored = _find(api.ListRoutes(admin.ListRoutesRequest()).routes, model_name, org)
            if stored is None:
                raise UsageError(f"there is no route {names.route_label(model_name, org)}")
            places = {_place_of(each): each for each in stored.targets}
            for place in targets:
                if place not in places:
                    raise UsageError(f"the route has no target {place}: it has {', '.join(places)}")
            route = admin.Route()
            route.CopyFrom(stored)
            for each in route.targets:
                each.paused = paused if _place_of(each) in targets else each.paused
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


@routes.command(
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


routes.add_command(simulate)


_EXPLAINED = (
    "target", "tier", "share", "reason", "expected_s", "cost_usd", "first_byte_ms", "tokens_per_s", "errors",
    "limited", "cached", "attempts",
)  # fmt: skip


@routes.command(
    epilog="""\b
Examples:
  trunkline routes explain gpt-4.1
  trunkline routes explain gpt-4.1 --key acme/ci
  trunkline routes explain gpt-4.1 --output json
"""
)
@click.argument("model_name", metavar="MODEL", shell_complete=completion.ROUTES)
@click.option(
    "--org", shell_complete=completion.ORGS, default="", help="From the view of this organisation's keys."
)
@click.option("--key", shell_complete=completion.KEYS, default="", help="From the view of this key.")
@output_option
@control_options
def explain(*, control: Control, model_name: str, org: str, key: str, output: str) -> None:
    """Explain which target of MODEL would be chosen now, and why.

    Seconds and dollars are those of the route's typical request of the last minutes. Below a target whose provider
    has several credentials, TARGET#1, TARGET#2 … are the measurements with each of them.
    """
    with control.connect() as api, names.suggesting(api, "route", names.route_label(model_name, org)):
        if key:
            id_ = names.key_id(api, key)
            org = names.key_labels(api, [id_])[id_].partition("/")[0]
        found = api.ExplainRoute(admin.ExplainRouteRequest(model=model_name, organisation=org))
    rows = []
    for each in found.targets:
        credentials = [_credential(each.target_id, credential) for credential in each.credentials]
        rows.append({**_explained(each), "credentials": credentials})
        rows += credentials if output == "table" else []
    columns = _EXPLAINED if output == "table" else (*_EXPLAINED, "credentials")
    say(render(rows, columns, output, important=("target", "share", "reason")), lines=True)
    if output == "table":
        tokens = f"{found.prompt_tokens:,} prompt tokens, {found.cached_permille / 10:g} % of them cached"
        say(f"typical request: {tokens}, {found.completion_tokens:,} completion tokens", lines=True)


def _explained(target: admin.ExplainedTarget) -> dict[str, object]:
    return {
        "target": target.target_id,
        "tier": target.tier,
        "share": f"{target.share_permille / 10:g} %",
        "reason": target.reason,
        "expected_s": round(target.expected_us / 1e6, 3) if target.expected_us else "",
        "cost_usd": round(target.cost_nano_usd / 1e9, 9),
        "first_byte_ms": round(target.first_byte_us / 1e3) if target.first_byte_us else "",
        "tokens_per_s": round(target.millitokens_per_second / 1e3, 1) if target.millitokens_per_second else "",
        "errors": f"{target.error_permille / 10:g} %",
        "limited": f"{target.limit_permille / 10:g} %",
        "cached": f"{target.cached_permille / 10:g} %",
        "attempts": target.attempts,
    }


def _credential(target_id: str, credential: routing.ExplainedCredential) -> dict[str, object]:
    """Returns a credential's row below its target's, which has the shared values."""
    return {
        **dict.fromkeys(_EXPLAINED, ""),
        "target": f"{target_id}#{credential.index + 1}",
        "reason": _failures(credential.failures_in_a_row),
        "first_byte_ms": round(credential.first_byte_us / 1e3) if credential.first_byte_us else "",
        "tokens_per_s": (
            round(credential.millitokens_per_second / 1e3, 1) if credential.millitokens_per_second else ""
        ),
        "errors": f"{credential.error_permille / 10:g} %",
        "limited": f"{credential.limit_permille / 10:g} %",
        "attempts": credential.attempts,
    }


def _failures(in_a_row: int) -> str:
    times = {1: "once", 2: "twice"}.get(in_a_row, f"{in_a_row} times")
    return f"failed {times} since it served last" if in_a_row else ""


def _place(route: admin.Route, privacy: str | None, affinity: str | None) -> None:
    """Changes the given values."""
    if privacy is not None:
        route.privacy = PRIVACIES[privacy]
    if affinity is not None:
        route.affinity = AFFINITIES[affinity]


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


def _find(routes: Sequence[admin.Route], model_name: str, org: str) -> admin.Route | None:
    return next((each for each in routes if each.model == model_name and each.organisation == org), None)


def _place_of(target: admin.RouteTarget) -> str:
    return f"nodes/{target.nodes}" if target.nodes else f"{target.provider}/{target.model}"


def _target(target: admin.RouteTarget) -> str:
    """Names a target as in the response header x-trunkline-target, with its share and tier."""
    place = _place_of(target)
    share = f"*{target.weight}" if target.HasField("weight") else ""
    notes = [f"tier {target.tier}"] * (target.tier > 0) + ["paused"] * target.paused
    return f"{place}{share}" + (f" ({', '.join(notes)})" if notes else "")
