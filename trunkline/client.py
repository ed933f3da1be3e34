"""The connection of the admin commands to the control plane."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import grpc
from trunkline_proto.admin.v1 import admin_pb2_grpc

from trunkline import credentials, login_file, migration
from trunkline.channel import CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE, Trust, opened
from trunkline.errors import ControlError, UsageError
from trunkline.layout import Layout
from trunkline.text import say

#: Seconds of waiting after which a line says so.
_SAY_AFTER_SECONDS = 3.0
_CALL_SECONDS = 30.0
# Finds a starting control plane as soon as it listens.
_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Despite its name, this is how long one attempt to connect may take. A busy control plane may need seconds to
    # accept a connection; if nobody listens, the attempt fails at once.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    # Answers may contain every route and provider; the default of 4 MB is meant for untrusted peers.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

#: gRPC's texts for an untrusted CA and for a certificate with another name.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")


@dataclass(frozen=True, slots=True)
class Control:
    """The address of the control plane (host:port, unix:PATH, or a URL) and the token for it.

    `trust` is for `https://`. `wait` is how many seconds to wait until it listens; 0 fails at once. `limit` is the
    maximum of seconds per call. With `take_over`, changes also apply to objects that a file manages. `base_url` is
    where clients reach the gateway of the data directory; empty if unknown.
    """

    address: str
    token: str = field(repr=False)
    wait: float = 0.0
    trust: Trust = field(default_factory=Trust)
    limit: float = _CALL_SECONDS
    take_over: bool = False
    base_url: str = ""
    #: Where the control plane of the data directory says how far its migrations are.
    migration: Path | None = None
    #: Where the token comes from, for messages.
    source: str = "`trunkline login`"

    @classmethod
    def find(
        cls,
        data_dir: Path,
        environment: Mapping[str, str] = os.environ,
        *,
        ca_file: Path | None = None,
        limit: float = _CALL_SECONDS,
    ) -> Control:
        """Finds the control plane from TRUNKLINE_CONTROL and TRUNKLINE_ADMIN_TOKEN, from the data directory of
        `trunkline up`, or from `trunkline login`.

        Raises:
            UsageError: neither is there, or what is for TLS cannot be used.
        """
        stored = credentials.load(data_dir / "credentials.json")
        address = environment.get("TRUNKLINE_CONTROL") or stored.control
        token, source = environment.get("TRUNKLINE_ADMIN_TOKEN", "").strip(), "TRUNKLINE_ADMIN_TOKEN"
        if not token:
            token, source = stored.admin_token, str(data_dir / "credentials.json")
        if not token:
            source = "`trunkline login`"
            signed_in = login_file.load(environment)
            # A token is sent only to its own gateway.
            if address in {"", signed_in.control}:
                address, token = signed_in.control, signed_in.token
        if not address or not token:
            missing = (
                "TRUNKLINE_CONTROL (host:port or https://host:port)" if not address else "TRUNKLINE_ADMIN_TOKEN"
            )
            raise UsageError(
                f"no control plane known: there is no {data_dir / 'credentials.json'} and {missing} is not set; "
                "start one with `trunkline up`, or set the variables, or choose with --data-dir, or sign in with "
                "`trunkline login`"
            )
        if not (token.isascii() and token.isprintable()):
            raise UsageError("TRUNKLINE_ADMIN_TOKEN contains characters that tokens never have: copy it again")
        base_url = stored.base_url if address == stored.control else ""
        progress = Layout(data_dir).migration if address == stored.control else _beside(address)
        trust = Trust.of(environment, ca_file)
        return cls(address, token, trust=trust, limit=limit, base_url=base_url, migration=progress, source=source)

    @staticmethod
    def address_of(data_dir: Path, environment: Mapping[str, str] = os.environ) -> str:
        """Returns the control plane's address, for callers without a token. Raises UsageError."""
        stored = credentials.load(data_dir / "credentials.json")
        address = environment.get("TRUNKLINE_CONTROL") or stored.admin_url or login_file.load(environment).control
        if not address:
            raise UsageError("which gateway? Give its URL: trunkline login https://gateway.example.org:8081")
        return address

    @contextmanager
    def connect(self) -> Iterator[admin_pb2_grpc.AdminStub]:
        """Yields the Admin API with the token on every call. Raises ControlError for any failed call."""
        with opened(self.address, self.trust, _CHANNEL) as channel:
            try:
                if self.wait:
                    _wait_for(channel, self)
                yield admin_pb2_grpc.AdminStub(grpc.intercept_channel(channel, _Caller(self)))
            except grpc.RpcError as error:
                raise ControlError(_explain(error, self)) from error


class _Caller(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    """Adds the token and a time limit to calls; streams may be long, so they have no limit."""

    def __init__(self, control: Control) -> None:
        self._limit, self._address = control.limit, control.address
        take_over = (("x-trunkline-take-over", "true"),) if control.take_over else ()
        self._metadata = (("authorization", f"Bearer {control.token}"), *take_over)

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        call = continuation(_Details(client_call_details.method, self._limit, self._metadata), request)
        # Envoy answers what is not gRPC for it without a message, and with success.
        if call.code() is grpc.StatusCode.OK and call.result() is None:
            raise ControlError(_not_a_control_plane(self._address))
        return call

    def intercept_unary_stream(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        return continuation(_Details(client_call_details.method, None, self._metadata), request)


@dataclass(frozen=True, slots=True)
class _Details(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str], ...]
    credentials: None = None
    wait_for_ready: None = None
    compression: None = None


def _wait_for(channel: grpc.Channel, control: Control) -> None:
    """Returns when the channel is ready or its time is over; in the latter case the first call reports the
    reason. While the control plane migrates its database, the time does not pass.
    """
    ready = grpc.channel_ready_future(channel)
    left, said = control.wait, False
    while left > 0:
        step = min(left, _SAY_AFTER_SECONDS)
        with suppress(grpc.FutureTimeoutError):
            ready.result(timeout=step)
        if ready.done():
            return
        left -= step
        if migration.read(control.migration) is not None:
            left = control.wait
        elif left > 0 and not said:
            say(f"waiting for the control plane at {control.address}, up to {control.wait:g} s", err=True)
            said = True


def _beside(address: str) -> Path | None:
    """Returns the file with the progress of migrations, which is next to a control plane's socket."""
    socket = address.removeprefix("unix:")
    return Path(socket).parent / Layout(Path()).migration.name if socket != address else None


def _explain(error: grpc.RpcError, control: Control) -> str:
    """Returns one line that says what to do, or the control plane's own message if it is about the request."""
    assert isinstance(error, grpc.Call)  # noqa: S101 - what a stub raises is both
    code, details, address = error.code(), error.details() or "", control.address
    if of_tls := _explain_tls(code, details, address):
        return of_tls
    running = migration.read(control.migration)
    if code is grpc.StatusCode.UNAVAILABLE and running is not None:
        return f"the control plane migrates its database and answers afterwards: {running}"
    said = {
        grpc.StatusCode.UNAVAILABLE: (
            f"cannot reach the control plane at {address}: is `trunkline up` running? Another one is chosen with "
            "TRUNKLINE_CONTROL=HOST:PORT, or --data-dir"
        ),
        grpc.StatusCode.UNAUTHENTICATED: (
            f"the control plane at {address} refused the token of {control.source}: correct TRUNKLINE_ADMIN_TOKEN "
            "or --data-dir, or sign in again with `trunkline login`"
        ),
        grpc.StatusCode.DEADLINE_EXCEEDED: (
            f"the control plane at {address} did not answer within {control.limit:g} s"
        ),
        grpc.StatusCode.ABORTED: f"{details or 'it was changed meanwhile'}: repeat the command",
        grpc.StatusCode.UNIMPLEMENTED: _not_a_control_plane(address),
    }
    return said.get(code) or details or f"the control plane answered {code.name}"


def _not_a_control_plane(address: str) -> str:
    return (
        f"the server at {address} is not a control plane of this version: TRUNKLINE_CONTROL is the address of "
        "--control-listen (port 18000) or --admin-listen, not that of --listen"
    )


def _explain_tls(code: grpc.StatusCode, details: str, address: str) -> str:
    """Explains an error of certificates; returns an empty string for other errors."""
    if code is grpc.StatusCode.UNAVAILABLE and any(each in details for each in _UNTRUSTED):
        return (
            f"the certificate of {address} is not trusted, or not for this name: give its CA with "
            f"--control-ca-file or {CA_VARIABLE}, and the name that it is for in TRUNKLINE_CONTROL"
        )
    if code is grpc.StatusCode.UNAVAILABLE and "WRONG_VERSION_NUMBER" in details:
        return f"{address} does not speak TLS: use http:// in TRUNKLINE_CONTROL"
    if code is grpc.StatusCode.PERMISSION_DENIED and details.startswith("RBAC"):
        return f"{address} asks for a certificate: set {CERTIFICATE_VARIABLE} and {KEY_VARIABLE}"
    return ""


def change_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Like control_options, for a command that changes objects that a file may manage: also adds --take-over."""

    @click.option(
        "--take-over",
        is_flag=True,
        help="Also change objects that a file manages; the file leaves them alone afterwards.",
    )
    def with_take_over(*, control: Control, take_over: bool, **given: Any) -> Any:
        return verb(control=dataclasses.replace(control, take_over=take_over), **given)

    return control_options(_like(with_take_over, verb))


def control_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --data-dir and --control-ca-file, and passes `control` to the command."""

    @click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        default=Path("data"),
        show_default=True,
        help="The directory in which `trunkline up` keeps credentials.json.",
    )
    @click.option(
        "--control-ca-file",
        type=click.Path(path_type=Path),
        help=f"CAs (PEM) to trust if TRUNKLINE_CONTROL is https://.  [default: ${CA_VARIABLE}, or public ones]",
    )
    def with_control(*, data_dir: Path, control_ca_file: Path | None, **given: Any) -> Any:
        return verb(control=Control.find(data_dir, ca_file=control_ca_file), **given)

    return _like(with_control, verb)


def _like(wrapper: Callable[..., Any], verb: Callable[..., Any]) -> Callable[..., Any]:
    """Gives `wrapper` the name and help of `verb`, and the options of both."""
    wrapper.__doc__ = verb.__doc__
    wrapper.__name__ = verb.__name__
    wrapper.__click_params__ = [  # type: ignore[attr-defined]  # click keeps declared options here
        *getattr(verb, "__click_params__", ()),
        *getattr(wrapper, "__click_params__", ()),
    ]
    return wrapper
