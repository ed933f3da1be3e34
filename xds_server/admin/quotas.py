"""Parses quotas of the Admin API into the model's; notes every problem under its field's path."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_proto.admin.v1 import admin_pb2 as pb, quota_pb2

from xds_server.admin import enums, values
from xds_server.admin.problems import Problems
from xds_server.model import CredentialQuota, Metric, Quota

#: The metrics that Envoy's module counts for each credential.
METRICS = (Metric.REQUESTS, Metric.TOKENS)
#: Quotas of one credential, as in envoy/module/quota.h.
_MAX = 8
_MAX_WINDOW = 31 * 86_400


def quota(messages: Iterable[quota_pb2.Quota], problems: Problems) -> tuple[Quota, ...]:
    """Returns the quotas of the field `quota`; `problems` is at the message that has it."""
    parsed = tuple(_quota(message, problems.at("quota", index)) for index, message in enumerate(messages))
    values.at_most(parsed, _MAX, problems.at("quota"))
    first_of: dict[tuple[Metric, int], int] = {}
    for index, each in enumerate(parsed):
        first = first_of.setdefault((each.metric, each.per_seconds), index)
        if first != index:
            problems.at("quota", index).note(
                f"the same metric and window as quota[{first}]; accepted: one quota of each"
            )
    return parsed


def credential_quotas(message: pb.Provider, problems: Problems) -> tuple[CredentialQuota, ...]:
    """Returns the quotas that single credentials have, by position. `problems` is at the provider."""
    found: dict[int, CredentialQuota] = {}
    for index, each in enumerate(message.credential_quotas):
        here = problems.at("credential_quotas", index)
        most = len(message.credentials) or 32
        values.number(each.credential, 1, most, "(the position of a credential)", here.at("credential"))
        if each.credential in found:
            here.at("credential").note(f"credential {each.credential} again; accepted: each once")
        if not each.quota:
            here.at("quota").note("missing; accepted: at least one quota")
        found[each.credential] = CredentialQuota(each.credential, quota(each.quota, here))
    return tuple(found[position] for position in sorted(found))


def _quota(message: quota_pb2.Quota, problems: Problems) -> Quota:
    metric = enums.optional(Metric, message, "metric")
    if metric not in METRICS:
        problems.at("metric").note(f"missing or not a metric of quotas; accepted: {', '.join(METRICS)}")
        metric = Metric.REQUESTS
    values.number(message.per_seconds, 1, _MAX_WINDOW, "seconds", problems.at("per_seconds"))
    values.number(message.amount, 1, values.MAX_AMOUNT, "", problems.at("amount"))
    return Quota(metric, message.per_seconds, message.amount)
