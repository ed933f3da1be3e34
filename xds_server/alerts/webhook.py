"""Sends alerts to a webhook: one signed POST of JSON. Answers are not read, and redirects are not followed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib
import json
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from trunkline_proto.limits.v1 import limits_pb2 as pb

from xds_server.alerts import addresses, naming
from xds_server.alerts.table import StoredAlert
from xds_server.model import DesiredState

SIGNATURE = "x-trunkline-signature"
_TIMEOUT = 10.0
_OVERFLOW = "%"


def body(alerts: Sequence[StoredAlert], state: DesiredState) -> bytes:
    """Returns the body; see docs/limits.md. It has no secret and no prompt; end users' names are as clients sent
    them.
    """
    return json.dumps(
        {"version": 1, "alerts": [_shown(each, state) for each in alerts]}, separators=(",", ":")
    ).encode()


def signature(secret: bytes, at: int, content: bytes) -> str:
    """Returns the header: `t=UNIX_SECONDS,v1=HEX`, an HMAC-SHA-256 of `UNIX_SECONDS.BODY`."""
    digest = hmac.new(secret, f"{at}.".encode() + content, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Webhook:
    """Posts to a webhook. `ca_file` has the trusted CAs; `clock` gives Unix seconds."""

    def __init__(self, ca_file: str, clock: Callable[[], float] = time.time) -> None:
        self._ca_file = ca_file
        self._clock = clock

    async def post(self, url: str, secret: bytes, content: bytes) -> str:
        """Sends `content`. Returns why it was not accepted; empty if it was."""
        # aiohttp takes some tenths of a second to import, and most gateways have no webhook.
        await asyncio.to_thread(importlib.import_module, "aiohttp")
        import aiohttp  # noqa: PLC0415

        from xds_server.alerts.resolving import guarded  # noqa: PLC0415

        headers = {
            "content-type": "application/json",
            "user-agent": "trunkline",
            SIGNATURE: signature(secret, int(self._clock()), content),
        }
        host = urlsplit(url).hostname or ""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        try:
            tls = await asyncio.to_thread(self._context) if url.startswith("https:") else False
            connector = aiohttp.TCPConnector(
                ssl=tls, resolver=guarded(local=addresses.names_this_machine(host)), force_close=True
            )
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.post(url, data=content, headers=headers, allow_redirects=False) as answer,
            ):
                return "" if 200 <= answer.status < 300 else f"the webhook answered {answer.status}"
        except TimeoutError:
            return f"the webhook did not answer within {_TIMEOUT:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not the error's text: it may quote the URL, which may contain a token.
            reason = getattr(error, "strerror", None) or type(error).__name__
            return f"the webhook cannot be reached: {reason}"

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca_file or None)


def _shown(kept: StoredAlert, state: DesiredState) -> dict[str, Any]:
    alert, limit = kept.alert, kept.alert.limit
    shown: dict[str, Any] = {
        "id": f"{kept.id}-{alert.reached_at}",
        "holder": naming.holder(state, alert.holder, alert.holder_id),
        "limit": naming.limit(limit),
        "unit": naming.unit(limit),
        "amount": naming.amount(limit, limit.amount),
        "taken": naming.amount(limit, alert.taken),
        "share": alert.share_permille / 1_000,
        "soft": limit.soft,
        "refused": alert.refused,
        "reached_at": _moment(alert.reached_at),
        "until": _moment(alert.until),
    }
    if limit.each:
        shown[naming.each(limit)] = value(alert)
    return shown


def value(alert: pb.Alert) -> str | None:
    """Returns the end user or tag of an alert as the client sent it; None for a limit without separate counts."""
    # In a limit of a route, the organisation precedes the value.
    of = alert.value.partition("/")[2] if alert.holder == pb.HOLDER_ROUTE else alert.value
    return unquote(of) if of != _OVERFLOW else None


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
