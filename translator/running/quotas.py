"""Rests and remaining quotas in Envoy, from the lines in which its module reports them (docs/quota.md)."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

_METRICS = {"r": policy.METRIC_REQUESTS, "t": policy.METRIC_TOKENS}


def read(reports: Iterable[bytes]) -> pb.Standing:
    """Reads `o`, `r`, `p`, `q`, `s` and `h` lines as in envoy/module/{sharing,hosts,quota,headroom}.h; skips
    other lines.
    """
    found = pb.Standing()
    for report in reports:
        for line in report.decode("latin-1").splitlines():
            kind, *words = line.split(" ")
            try:
                _take(found, kind, words)
            except (ValueError, LookupError):  # written by a later version, or too large for a field
                continue
    return found


def _take(found: pb.Standing, kind: str, words: list[str]) -> None:
    if kind == "o":
        (found.process,) = map(int, words)
    elif kind == "r":
        host, cause, for_all, age, left = map(int, words)
        found.rests.append(pb.Rest(host=host, cause=cause, for_all=bool(for_all), age_ms=age, left_ms=left))
    elif kind == "q":
        metric = _METRICS[words.pop(1)]
        account, per, amount, used, wait, age = map(int, words)
        found.counted.append(
            pb.CountedQuota(
                account=account,
                metric=metric,
                per_seconds=per,
                amount=amount,
                used=used,
                wait_ms=wait,
                age_ms=age,
            )
        )
    elif kind == "s":
        metric = _METRICS[words.pop(1)]
        account, per, amount, share, wanted = map(int, words[:5])
        used = sum(int(part.partition(":")[2]) for part in words[5:])
        found.uses.append(
            pb.QuotaUse(
                account=account,
                metric=metric,
                per_seconds=per,
                amount=amount,
                share=share,
                used=used,
                wanted=wanted,
            )
        )
    elif kind == "p":
        host, foreign, cause, reach, breadth, stated, organisation, key, user, pauses, age, left = map(int, words)
        found.pauses.append(
            pb.Pause(
                host=host,
                foreign=bool(foreign),
                cause=cause,
                reach=reach,
                breadth=breadth,
                stated=bool(stated),
                organisation=organisation,
                key=key,
                user=user,
                pauses=pauses,
                age_ms=age,
                left_ms=left,
            )
        )
    elif kind == "h":
        name = words.pop(1)
        host, limit, remaining, reset = map(int, words)
        found.told.append(pb.ToldQuota(host=host, metric=name, limit=limit, remaining=remaining, reset_ms=reset))
