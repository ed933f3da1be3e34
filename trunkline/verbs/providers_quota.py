"""`trunkline providers quota`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.config import units
from trunkline.output import output_option, render, when
from trunkline.text import say

_COLUMNS = (
    "provider", "credential", "digest", "target", "quota", "limit", "remaining", "share", "used", "resets_at",
    "rests_until", "reason", "source", "translator",
)  # fmt: skip
_NUMBERS = ("credential", "limit", "remaining", "share", "used")
_IMPORTANT = ("provider", "credential", "quota", "remaining", "limit", "share", "used", "rests_until", "reason")


@click.command(
    epilog="""\b
Examples:
  trunkline providers quota
  trunkline providers quota openai
  trunkline providers quota --output json
"""
)
@click.argument("name", required=False, default="", shell_complete=completion.PROVIDERS)
@output_option
@control_options
def quota(*, control: Control, name: str, output: str) -> None:
    """Show the remainder of each credential's quotas, of all providers or of NAME, and what rests, until when and
    why.

    A credential is shown by its position and a digest. The source is `quota` for configured quotas, `headers` for
    the last headers of the provider, `rest` for anything that rests without a quota. Several gateways share a
    configured quota: `remaining` is what none of them has used, `share` and `used` are what one of them, named by
    its translator, may use and has used.
    """
    with control.connect() as api, names.suggesting(api, "provider", name):
        found = api.ListQuotas(admin.ListQuotasRequest(provider=name))
    rows = [
        {
            "provider": each.provider,
            "credential": each.credential,
            "digest": each.digest,
            "target": each.target_id or None,
            "quota": _quota(each) or None,
            "limit": each.limit or None,
            "remaining": each.remaining if each.metric else None,
            "share": each.share if each.source == "quota" else None,
            "used": each.used if each.source == "quota" else None,
            "resets_at": when(each.resets_at),
            "rests_until": when(each.rests_until),
            "reason": each.reason or None,
            "source": each.source,
            "translator": each.translator or None,
        }
        for each in found.credentials
    ]
    say(render(rows, _COLUMNS, output, right=_NUMBERS, important=_IMPORTANT), lines=True)
    for each in found.silent:
        say(f"warning: {each} did not answer in time", err=True)


def _quota(row: admin.CredentialHeadroom) -> str:
    """Names a quota as in trunkline.yaml without the amount, or by its header if the provider reported it."""
    return f"{row.metric}/{units.duration(row.per_seconds * 1000)}" if row.per_seconds else row.metric
