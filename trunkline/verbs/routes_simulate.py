"""`trunkline routes simulate`."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin, routing_pb2 as routing

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.config import document, loader
from trunkline.config.located import located
from trunkline.errors import ControlError
from trunkline.output import output_option, render
from trunkline.text import say
from trunkline.timestamps import Timestamp

#: Maximum seconds of a call: a simulation reads for at most ten seconds, from a database that may be busy.
_CALL_SECONDS = 120.0
#: Seconds of waiting after which a line says so.
_SAY_AFTER_SECONDS = 2.0

_VIEWS = ("recorded", "now", "proposed")
_FIGURES = ("share", "cost_usd", "seconds", "first_byte_ms", "first_byte_p95_ms")
_MEASURED = ("attempts", "errors", "limited", "cached", "tokens_per_s")
_COLUMNS = (
    "model",
    "organisation",
    "target",
    *(f"{figure}_{view}" for figure in _FIGURES for view in _VIEWS),
    *_MEASURED,
)
_IMPORTANT = (
    "target", "share_now", "share_proposed", "cost_usd_now", "cost_usd_proposed", "seconds_now",
    "seconds_proposed", "first_byte_ms_now", "first_byte_ms_proposed", "model",
)  # fmt: skip


@click.command(
    epilog="""\b
Examples:
  trunkline routes simulate --file trunkline.yaml
  trunkline routes simulate --file proposed.yaml --model gpt-4.1 --since 7d
  trunkline routes simulate --file proposed.yaml --model gpt-4.1 --org acme --output json
"""
)
@click.option(
    "--file",
    "-f",
    type=click.Path(path_type=Path),
    required=True,
    help="The trunkline.yaml with the proposed routes.",
)
@click.option("--model", "model_name", shell_complete=completion.ROUTES, default="", help="Only this route.")
@click.option(
    "--since", type=Timestamp(), default="24h", show_default=True, help="How long ago (7d), or a date (UTC)."
)
@click.option("--until", type=Timestamp(), default=None, help="The end, in the same form.  [default: now]")
@click.option(
    "--org",
    shell_complete=completion.ORGS,
    default="",
    help="From the view of this organisation's keys, with only its requests.",
)
@output_option
@control_options
def simulate(
    *, control: Control, file: Path, model_name: str, since: int, until: int | None, org: str, output: str
) -> None:
    """Replay past requests against the routes of a file, without applying it.

    For each target, and in total: the share of requests, the cost, the total time, and the time to the first byte
    of streams (median and 95th percentile); as recorded, as replayed with the current route, and as replayed with
    the proposed one. Costs of the replays are at current prices. Notes below the table list unknowns. Credentials
    of the file are neither read nor sent.
    """
    given, positions = loader.read_without_secrets(file)
    request = admin.SimulateRoutesRequest(
        document=_public(document.request(given).document),
        model=model_name,
        organisation=org,
        since=since,
        until=until or 0,
    )
    try:
        with (
            dataclasses.replace(control, limit=_CALL_SECONDS).connect() as api,
            _saying("reading usage records …"),
        ):
            found = api.SimulateRoutes(request)
    except ControlError as error:
        raise ControlError(located(str(error).replace("document.", ""), positions, str(file))) from error
    if output == "json":
        say(render([_as_object(each) for each in found.routes], _OBJECT, output), lines=True)
    else:
        rows = [row for each in found.routes for row in _rows(each)]
        say(render(rows, _COLUMNS, output, right=_COLUMNS[3:], important=_IMPORTANT), lines=True)
    _say_what_is_not_known(found, err=output != "table")


_OBJECT = ("model", "organisation", "requests", "failed_requests", "cached_requests", "total", "targets", "notes")


def _public(document: admin.Document) -> admin.Document:
    """Reduces the file to what routes need, without credentials, keys and other objects."""
    return admin.Document(
        providers=[admin.Provider(name=each.name, base_url=each.base_url) for each in document.providers],
        routes=document.routes,
        organisations=[
            admin.OrganisationDocument(organisation=admin.Organisation(name=each.organisation.name))
            for each in document.organisations
        ],
    )


def _rows(route: routing.SimulatedRoute) -> Iterator[dict[str, object]]:
    """Returns a row for each target, and one for the total."""
    whose = {"model": route.model, "organisation": route.organisation}
    for target in route.targets:
        yield {**whose, "target": target.target_id, **_flat(_views(target)), **_measured(target)}
    yield {**whose, "target": "total", **_flat(_views(route)), **dict.fromkeys(_MEASURED, "")}


def _as_object(route: routing.SimulatedRoute) -> dict[str, object]:
    return {
        "model": route.model,
        "organisation": route.organisation,
        "requests": route.requests,
        "failed_requests": route.failed_requests,
        "cached_requests": route.cached_requests,
        "total": _views(route),
        "targets": [
            {"target": each.target_id, **_views(each), "measured": _measured(each)} for each in route.targets
        ],
        "notes": list(route.notes),
    }


def _views(of: routing.SimulatedRoute | routing.SimulatedTarget) -> dict[str, dict[str, object] | None]:
    return {view: _figures(getattr(of, view)) if of.HasField(view) else None for view in _VIEWS}  # type: ignore[arg-type]


def _figures(of: routing.SimulatedOutcome) -> dict[str, object]:
    return {
        "share": f"{of.share_permille / 10:g} %",
        "cost_usd": round(of.cost_nano_usd / 1e9, 9),
        "seconds": round(of.duration_us / 1e6, 3) if of.duration_us else None,
        "first_byte_ms": round(of.first_byte_p50_us / 1e3, 1) if of.first_byte_p50_us else None,
        "first_byte_p95_ms": round(of.first_byte_p95_us / 1e3, 1) if of.first_byte_p95_us else None,
    }


def _flat(views: Mapping[str, dict[str, object] | None]) -> dict[str, object]:
    return {
        f"{figure}_{view}": (figures or {}).get(figure) for view, figures in views.items() for figure in _FIGURES
    }


def _measured(target: routing.SimulatedTarget) -> dict[str, object]:
    return {
        "attempts": target.attempts,
        "errors": f"{target.error_permille / 10:g} %",
        "limited": f"{target.limit_permille / 10:g} %",
        "cached": f"{target.cached_permille / 10:g} %",
        "tokens_per_s": round(target.millitokens_per_second / 1e3, 1) if target.millitokens_per_second else None,
    }


def _say_what_is_not_known(found: routing.SimulateRoutesResponse, *, err: bool) -> None:
    for route in found.routes:
        label = names.route_label(route.model, route.organisation)
        about = f"{route.requests:,} requests replayed"
        if route.failed_requests or route.cached_requests:
            about += (
                f"; not replayed: {route.failed_requests:,} that no target answered, {route.cached_requests:,} "
                "from the gateway's cache"
            )
        say(f"{label}: {about}", err=err)
        for note in route.notes:
            say(f"{label}: {note}", err=err)
        if route.proposed.unmeasured_permille:
            share = f"{route.proposed.unmeasured_permille / 10:g} %"
            say(
                f"{label}: the proposed times leave out {share} of the requests, at targets without measurements",
                err=err,
            )
    if found.sampled_permille < 1_000:
        share = f"{found.sampled_permille / 10:g} %"
        say(
            f"a sample was read, {found.records:,} records, {share} of all: sums are scaled to all requests",
            err=err,
        )


@contextmanager
def _saying(text: str) -> Iterator[None]:
    """Prints a line on stderr if the call takes long."""
    timer = threading.Timer(_SAY_AFTER_SECONDS, lambda: say(text, err=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
