"""The flags of `trunkline providers add` and `update` for quotas and health checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin, quota_pb2

from trunkline.config import model, objects
from trunkline.errors import UsageError
from trunkline.parameters import CredentialQuotaFlag, QuotaFlag, SecondsFlag

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--quota",
        type=QuotaFlag(),
        multiple=True,
        help="Quota of each credential; may be repeated. Replaces the current ones.",
    ),
    click.option(
        "--credential-quota",
        "own_quota",
        type=CredentialQuotaFlag(),
        multiple=True,
        help="Quota of one credential, by its position, instead of --quota; may be repeated.",
    ),
    click.option("--no-quota", is_flag=True, help="Remove all quotas."),
    click.option(
        "--health-path",
        metavar="PATH",
        default=None,
        help='A path that Envoy requests as a health check; it must cost nothing. "": none.',
    ),
    click.option("--health-every", type=SecondsFlag(), default=None, help="Interval of the checks; 0s: 10s."),
    click.option(
        "--health-status",
        "health_statuses",
        type=click.IntRange(100, 599),
        multiple=True,
        help="A status of a healthy server; may be repeated.  [default: 200]",
    ),
)


@dataclass(frozen=True, slots=True)
class ProviderFlags:
    """The values of the flags."""

    quota: Sequence[model.QuotaSpec]
    own_quota: Sequence[tuple[int, model.QuotaSpec]]
    no_quota: bool
    health_path: str | None
    health_every: int | None
    health_statuses: Sequence[int]

    def fill(self, provider: admin.Provider) -> None:
        """Sets the given values. Raises UsageError."""
        if self.no_quota and (self.quota or self.own_quota):
            raise UsageError("--no-quota cannot be combined with --quota or --credential-quota")
        if self.quota or self.no_quota:
            del provider.quota[:]
            provider.quota.extend(map(objects.QUOTA.message, self.quota))
        if self.own_quota or self.no_quota:
            del provider.credential_quotas[:]
            for position in sorted({position for position, _ in self.own_quota}):
                own = (objects.QUOTA.message(each) for at, each in self.own_quota if at == position)
                provider.credential_quotas.append(quota_pb2.CredentialQuota(credential=position, quota=own))
        if self.health_path is not None:
            provider.health_path = self.health_path
        if self.health_path == "":
            provider.health_every_seconds = 0
            del provider.health_statuses[:]
        if self.health_every is not None:
            provider.health_every_seconds = self.health_every
        if self.health_statuses:
            del provider.health_statuses[:]
            provider.health_statuses.extend(self.health_statuses)


def quota_words(provider: admin.Provider) -> list[str]:
    """Returns the quotas in the flags' syntax, first the provider's, then those of single credentials."""
    own = ((f"{each.credential}:", each.quota) for each in provider.credential_quotas)
    return [f"{prefix}{_word(each)}" for prefix, quotas in (("", provider.quota), *own) for each in quotas]


def _word(quota: quota_pb2.Quota) -> str:
    written = objects.QUOTA.written(quota)
    return f"{written['metric']}/{written.get('per', '0s')}={quota.amount}"


def quota_options(command: F) -> F:
    """Adds the flags, whose values are the fields of ProviderFlags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
