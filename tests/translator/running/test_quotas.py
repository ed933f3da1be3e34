"""Reports of Envoy's module about rests and quotas."""

from __future__ import annotations

from hypothesis import given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from translator.running import quotas

REPORT = b"r 18446744073709551615 401 1 5000 25000\nq 7 t 60 1000 900 1500 200\nh 9 requests-day 60 0 20000\n"


def test_lines_are_read() -> None:
    assert quotas.read([REPORT, b""]) == pb.Standing(
        rests=[pb.Rest(host=2**64 - 1, cause=401, for_all=True, age_ms=5_000, left_ms=25_000)],
        counted=[
            pb.CountedQuota(
                account=7,
                metric=policy.METRIC_TOKENS,
                per_seconds=60,
                amount=1_000,
                used=900,
                wait_ms=1_500,
                age_ms=200,
            )
        ],
        told=[pb.ToldQuota(host=9, metric="requests-day", limit=60, remaining=0, reset_ms=20_000)],
    )


def test_what_is_no_line_is_passed_over() -> None:
    nonsense = (
        b"x 1\n\nr 1\nr 1 2 3 4 5 6\nq 1 z 1 1 1 1 1\nq\nh 1\nr 1 -1 1 1 1\nr 99999999999999999999999 1 1 1 1\n"
    )
    assert quotas.read([nonsense + REPORT]) == quotas.read([REPORT])


@given(st.binary(max_size=100))
def test_no_report_does_harm(report: bytes) -> None:
    quotas.read([report])
