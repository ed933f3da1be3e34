"""`trunkline routes explain`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin, routing_pb2 as routing

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.output import output_option, render
from trunkline.text import say

_EXPLAINED = (
    "target", "tier", "share", "reason", "expected_s", "cost_usd", "first_byte_ms", "tokens_per_s", "errors",
    "limited", "cached", "attempts",
)  # fmt: skip


@click.command(
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
