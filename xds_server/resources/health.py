"""Active health checks by Envoy, for servers with an endpoint that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    HealthCheck,
    HealthCheckHttpHealthCheck,
    HealthCheckTlsOptions,
)
from envoy_data_plane.envoy.type.v3 import Int64Range

from xds_server.model import Provider

_DEFAULT_SECONDS = 10
_MAX_ANSWER_SECONDS = 5
#: Checks without an answer before a host counts as unhealthy. A single wrong status is enough.
_UNHEALTHY_AFTER = 2


@dataclass(frozen=True, slots=True)
class Check:
    """A health check: the requested path, the interval, and the statuses of a live server."""

    path: str
    seconds: int
    statuses: tuple[int, ...]

    @classmethod
    def of(cls, provider: Provider) -> Check | None:
        """Returns the check of a provider with its defaults filled in; None if it has none."""
        if not provider.health_path:
            return None
        seconds = provider.health_every_seconds or _DEFAULT_SECONDS
        return cls(provider.health_path, seconds, provider.health_statuses or (200,))


def health_checks(check: Check | None, base_url: str, authorization: str) -> list[HealthCheck]:
    """Returns the health checks of a cluster at `base_url`; with an empty `authorization`, no credential is
    sent.
    """
    if check is None:
        return []
    url, every = urlsplit(base_url), timedelta(seconds=check.seconds)
    return [
        HealthCheck(
            timeout=timedelta(seconds=min(check.seconds, _MAX_ANSWER_SECONDS)),
            interval=every,
            # Otherwise a server without traffic would be checked only once a minute.
            no_traffic_interval=every,
            unhealthy_threshold=_UNHEALTHY_AFTER,
            healthy_threshold=1,
            http_health_check=_http_check(check, url, authorization),
            tls_options=HealthCheckTlsOptions(alpn_protocols=["http/1.1"]) if url.scheme == "https" else None,
        )
    ]


def authorization(credential: str) -> str:
    """Returns the header's value as an Envoy format string, in which a percent sign is doubled."""
    return f"Bearer {credential}".replace("%", "%%") if credential else ""


def _http_check(check: Check, url: SplitResult, authorization: str) -> HealthCheckHttpHealthCheck:
    return HealthCheckHttpHealthCheck(
        host=url.netloc,
        path=url.path.rstrip("/") + check.path,
        request_headers_to_add=[_header("authorization", authorization)] if authorization else [],
        expected_statuses=list(_ranges(check.statuses)),
    )


def _ranges(statuses: Sequence[int]) -> list[Int64Range]:
    return [Int64Range(start=status, end=status + 1) for status in sorted(statuses)]


def _header(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
