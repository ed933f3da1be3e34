from __future__ import annotations

import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin, admin_pb2_grpc
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.ports import ReservedPort
from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import FakeAdmin

FILE = """\
version: 1
providers:
  - {name: openai, base_url: https://api.openai.com/v1, credentials: [env:SOME_KEY]}
"""
CHANGES = [
    admin.Change(kind=admin.Change.KIND_CREATE, object_type="provider", object_name="openai"),
    admin.Change(
        kind=admin.Change.KIND_UPDATE,
        object_type="route",
        object_name="acme/gpt-4.1",
        fields=[
            admin.FieldChange(
                field="targets",
                before='[{"provider":"a","model":"m","weight":80,"tier":0,"price":{"input":2000000,"output":8000000}},'
                '{"nodes":"n","weight":1,"tier":1,"price":null}]',
                after='[{"provider":"a","model":"m","weight":50,"tier":0,"price":{"input":1500000,"output":8000000}}]',
            ),
            admin.FieldChange(
                field="timeouts",
                before='{"first_byte_ms":30000,"idle_ms":0,"connect_ms":0}',
                after='{"first_byte_ms":0,"idle_ms":0,"connect_ms":0}',
            ),
            admin.FieldChange(
                field="limits",
                before='[{"metric":"cost_usd","calendar":"month","time_zone":"UTC","amount":500000000}]',
                after='[{"metric":"cost_usd","calendar":"month","time_zone":"UTC","amount":400000}]',
            ),
            admin.FieldChange(field="managed_by", before='"api"', after='"file:trunkline"'),
        ],
    ),
    admin.Change(kind=admin.Change.KIND_DELETE, object_type="key", object_name="acme/ci"),
]
DIFFERENCE = """\
+ provider openai
~ route acme/gpt-4.1
    managed by: api -> file:trunkline
    - target nodes/n {weight: 1, tier: 1}
    ~ target a/m: weight: 80 -> 50
    ~ target a/m: price.input: 2 -> 1.5
    timeouts.first_byte: 30s -> (default)
    ~ limit cost_usd/month: 500 -> 0.4
- key acme/ci
"""


def _file(directory: Path, text: str = FILE) -> str:
    path = directory / "trunkline.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.slow
def test_the_difference_and_who_took_it(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.ApplyRequest] = admin.ApplyResponse(
        changes=CHANGES, propagation=admin.Propagation(revision=7, complete=True, accepted=2), warnings=["not yet"]
    )

    result = trunkline("apply", "-f", _file(tmp_path), SOME_KEY="sk-1")

    assert result.exit_code == 0, result.output
    assert result.stdout == DIFFERENCE
    assert result.stderr == "warning: not yet\nrevision 7: in use by 2 clients\n"
    sent = control.last(admin.ApplyRequest)
    assert list(sent.document.providers[0].credentials) == ["sk-1"]
    assert not sent.document.routes
    assert (sent.managed_by, list(sent.sections)) == ("file:trunkline", ["providers"])
    assert not any([sent.dry_run, sent.take_over, sent.prune])


@pytest.mark.slow
def test_a_dry_run_changes_nothing(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.ApplyRequest] = admin.ApplyResponse(changes=CHANGES)
    result = trunkline("apply", "-f", _file(tmp_path), "--dry-run", SOME_KEY="sk-1")
    assert result.stdout == DIFFERENCE
    assert result.stderr == ""
    assert control.last(admin.ApplyRequest).dry_run


@pytest.mark.slow
def test_no_changes(tmp_path: Path, trunkline: Trunkline) -> None:
    assert trunkline("apply", "-f", _file(tmp_path, "version: 1\n")).output == "no changes\n"


@pytest.mark.slow
def test_a_refusal_is_shown_and_ends_with_2(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    refused = admin.Rejection(
        client_id="envoy-local",
        type_url="type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        resource_names=["openai"],
        reason="Unknown cluster",
    )
    control.answers[admin.ApplyRequest] = admin.ApplyResponse(
        changes=CHANGES,
        propagation=admin.Propagation(revision=8, accepted=1, rejections=[refused], waiting_for=["envoy-2"]),
    )

    result = trunkline("apply", "-f", _file(tmp_path), SOME_KEY="sk-1")

    assert result.exit_code == 2
    assert "REFUSED by envoy-local: RouteConfiguration openai: Unknown cluster" in result.stderr
    assert "in use by 1 client\n" in result.stderr
    assert "not answered yet: envoy-2" in result.stderr


def test_a_mistake_in_the_file_reaches_nobody(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    path = _file(tmp_path)
    result = trunkline("apply", "-f", path)
    assert result.exit_code == 1
    place = f"{path}:3: providers[0].credentials[0].value"
    assert f"{place}: the environment variable SOME_KEY is not set" in result.stderr
    assert control.asked == []


REFUSED = """\
providers[0].base_url: the scheme must be http or https; accepted: http(s)://host
routes[0].targets[0].provider: no provider "opena"; did you mean openai? known: openai
routes[0].timeouts.first_byte_ms: 9000000 is out of range; accepted: 0 to 3,600,000 milliseconds (0 = the default)
routes[0].cache_ttl_seconds: 1 is not accepted
organisations[0].keys[0].limits[0].per_seconds: 0 is out of range; accepted: 1 to 31,622,400 seconds
key "acme/ci": the value given is in use
"""
WRONG = """\
version: 1
providers:
  - name: openai
    base_url: ftp://x
routes:
  - model: m
    targets:
      - {provider: opena, model: m}
    timeouts: {first_byte: 150m}
organisations:
  - name: acme
    keys:
      - name: ci
        limits: [{metric: tokens, per: 60s, amount: 1}]
"""


@pytest.mark.slow
def test_what_the_control_plane_refuses_has_its_line(
    tmp_path: Path, control: FakeAdmin, trunkline: Trunkline
) -> None:
    control.refusal = (grpc.StatusCode.INVALID_ARGUMENT, REFUSED.rstrip())
    path = _file(tmp_path, WRONG)
    result = trunkline("apply", "-f", path)
    assert result.exit_code == 1
    assert result.output.removeprefix("Error: ").replace(path, "f").splitlines() == [
        "f:4: providers[0].base_url: the scheme must be http or https; accepted: http(s)://host",
        'f:8: routes[0].targets[0].provider: no provider "opena"; did you mean openai? known: openai',
        "f:9: routes[0].timeouts.first_byte: 150m is out of range; accepted: 0s to 1h (0 = the default)",
        "f:6: routes[0].cache.ttl: 1 is not accepted",
        "f:14: organisations[0].keys[0].limits[0].per: 0s is out of range; accepted: 1s to 366d",
        'f:13: key "acme/ci": the value given is in use',
    ]


@pytest.mark.slow
def test_what_is_left_as_it_is_says_why(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    limit = policy.Limit(metric=policy.METRIC_COST_USD, calendar=policy.CALENDAR_MONTH, amount=500_000_000)
    control.answers[admin.ApplyRequest] = admin.ApplyResponse(
        conflicts=[
            admin.Conflict(
                reason=admin.Conflict.REASON_MANAGED_ELSEWHERE,
                object_type="organisation",
                object_name="acme",
                limit=limit,
                managed_by="api",
                fields=[admin.FieldChange(field="amount", before="500000000", after="9000000")],
            ),
            admin.Conflict(
                reason=admin.Conflict.REASON_NOT_PRUNED,
                object_type="key",
                object_name="acme/ci",
                managed_by="file:trunkline",
            ),
        ]
    )
    result = trunkline("apply", "-f", _file(tmp_path, "version: 1\n"), "--take-over", "--prune")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "no changes",
        (
            "! organisation acme, limit cost_usd/month: left as it is; it is managed by the API "
            "(--take-over makes it what this file says)"
        ),
        "    cost_usd/month=500 -> cost_usd/month=9",
        "! key acme/ci: no longer in this file, and keeps working (--prune removes it)",
    ]
    sent = control.last(admin.ApplyRequest)
    assert (sent.take_over, sent.prune) == (True, True)


@pytest.mark.slow
def test_the_control_planes_words_are_passed_on(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    control.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "unforeseen: it broke")
    result = trunkline("apply", "-f", _file(tmp_path, "version: 1\n"))
    assert result.exit_code == 1
    assert result.output == "Error: unforeseen: it broke\n"


def test_an_unreachable_control_plane_is_named(trunkline: Trunkline) -> None:
    result = trunkline("export", TRUNKLINE_CONTROL="127.0.0.1:1")
    assert result.exit_code == 1
    assert "cannot reach the control plane at 127.0.0.1:1" in result.output
    assert "TRUNKLINE_CONTROL=HOST:PORT" in result.output


def test_a_wrong_token_is_explained(trunkline: Trunkline) -> None:
    result = trunkline("export", TRUNKLINE_ADMIN_TOKEN="wrong")
    assert result.exit_code == 1
    assert "refused the token of TRUNKLINE_ADMIN_TOKEN: correct TRUNKLINE_ADMIN_TOKEN or" in result.output
    assert "wrong" not in result.output


def test_nothing_known_says_how_to_point_it(tmp_path: Path, trunkline: Trunkline) -> None:
    result = trunkline("export", "--data-dir", str(tmp_path), TRUNKLINE_CONTROL="")
    assert result.exit_code == 1
    assert f"there is no {tmp_path}/credentials.json" in result.output


def test_the_data_directory_says_where_it_is(tmp_path: Path, control: FakeAdmin, trunkline: Trunkline) -> None:
    (tmp_path / "credentials.json").write_text(
        f'{{"control": "{control.address}", "admin_token": "a-token-of-the-tests"}}'
    )
    result = trunkline("export", "--data-dir", str(tmp_path), TRUNKLINE_CONTROL="", TRUNKLINE_ADMIN_TOKEN="")
    assert result.output.startswith("version: 1\n")


@pytest.mark.slow
def test_a_control_plane_that_has_just_crashed_is_waited_for(
    tmp_path: Path, control: FakeAdmin, trunkline: Trunkline
) -> None:
    """The supervisor restarts the control plane within seconds."""
    control.answers[admin.ExportRequest] = admin.ExportResponse()
    reserved = ReservedPort()
    address = f"127.0.0.1:{reserved.number}"
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    admin_pb2_grpc.add_AdminServicer_to_server(control, server)

    def restart() -> None:
        server.add_insecure_port(address)
        server.start()

    restarting = threading.Timer(0.5, restart)
    restarting.start()
    try:
        result = trunkline("apply", "-f", _file(tmp_path), SOME_KEY="sk-1", TRUNKLINE_CONTROL=address)
        assert (result.exit_code, result.stdout) == (0, "no changes\n"), result.output
    finally:
        restarting.join()
        server.stop(grace=None).wait()


@pytest.mark.slow
def test_a_control_plane_that_stays_away_is_named(tmp_path: Path, trunkline: Trunkline) -> None:
    result = trunkline(
        "apply", "-f", _file(tmp_path), "--wait", "1s", SOME_KEY="sk-1", TRUNKLINE_CONTROL="127.0.0.1:1"
    )
    assert result.exit_code == 1
    assert "cannot reach the control plane at 127.0.0.1:1" in result.stderr
