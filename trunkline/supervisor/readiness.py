"""Checks over plain HTTP whether requests would be served, without a client library, because `up` has to start
fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from trunkline.address import Address

if TYPE_CHECKING:
    import ssl

_POLL_SECONDS = 0.025
_ANSWER_SECONDS = 2.0
_SAY_EVERY_SECONDS = 5.0
#: The translator's answer once it has everything of this control plane; before, it may serve an earlier policy.
_UP_TO_DATE = b'"up_to_date":true'


async def wait_until_ready(
    admin: Address, openai: Address, notice: Callable[[str], None], *, tls: bool = False
) -> None:
    """Returns once /readyz on `admin` answers 200 and `openai` accepts connections; reports what it waits for.

    With `tls` the admin listener speaks HTTPS.
    """
    context = _unverified() if tls else None
    loop = asyncio.get_running_loop()
    spoken = loop.time()
    while missing := await _missing(admin, openai, context):
        if loop.time() - spoken > _SAY_EVERY_SECONDS:
            spoken = loop.time()
            notice(f"still waiting: {missing}")
        await asyncio.sleep(_POLL_SECONDS)


async def _missing(admin: Address, openai: Address, tls: ssl.SSLContext | None) -> str:
    """Returns what is missing; empty once everything is ready."""
    scheme = "http" if tls is None else "https"
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            status, body = await _get(admin, "/readyz", tls)
    except (OSError, EOFError, ValueError):
        return f"Envoy does not listen on {admin} yet (it waits for its configuration from the control plane)"
    except TimeoutError:
        return f"{scheme}://{admin}/readyz does not answer"
    if status != 200:
        return f"{scheme}://{admin}/readyz answers {status}"
    if _UP_TO_DATE not in body:
        return "the translator does not hold the control plane's state yet"
    try:
        _, writer = await asyncio.open_connection(openai.host, openai.port)
    except OSError:
        return f"Envoy does not listen on {openai} yet"
    writer.close()
    return ""


async def _get(address: Address, path: str, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
    """Returns the status code of `GET path`, and the rest of the answer.

    Raises OSError, EOFError or ValueError if there is no HTTP answer.
    """
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode())
        line = await reader.readuntil(b"\r\n")
        return int(line.split(b" ")[1]), await reader.read()
    except IndexError as error:
        raise ValueError(line) from error
    finally:
        writer.close()


def _unverified() -> ssl.SSLContext:
    """Returns a context for our own listener, whose certificate has the clients' name of the gateway, not this
    address.
    """
    import ssl  # noqa: PLC0415  # only a gateway with TLS waits for its import

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
