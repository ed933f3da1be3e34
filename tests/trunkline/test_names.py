"""Objects by name, and the errors for those that do not exist."""

from __future__ import annotations

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import FakeAdmin

KEYS = [
    admin.Key(id="k1", organisation="acme", name="ci"),
    admin.Key(id="k2", organisation="acme", name="laptop"),
    admin.Key(id="k3", organisation="beta", name="laptop"),
    admin.Key(id="k0", organisation="acme", name="old", revoked_at=1),
]
NODES = [admin.Node(id="nd-abcdefgh234567ab", organisation="acme", name="rig")]


@pytest.fixture(autouse=True)
def _stored(control: FakeAdmin) -> None:
    control.answers = {
        admin.ListKeysRequest: admin.ListKeysResponse(keys=KEYS),
        admin.ListNodesRequest: admin.ListNodesResponse(nodes=NODES),
        admin.ListProvidersRequest: admin.ListProvidersResponse(providers=[admin.Provider(name="openai")]),
        admin.ListOrganisationsRequest: admin.ListOrganisationsResponse(
            organisations=[admin.Organisation(name="acme", id="org_1")]
        ),
        admin.ListRoutesRequest: admin.ListRoutesResponse(
            routes=[admin.Route(model="gpt-4.1"), admin.Route(model="own", organisation="acme")]
        ),
    }


@pytest.mark.parametrize("verb", ["revoke", "rotate"])
@pytest.mark.parametrize("given", ["k1", "acme/ci", "ci"])
def test_a_key_is_named_as_one_likes(control: FakeAdmin, trunkline: Trunkline, verb: str, given: str) -> None:
    assert trunkline("keys", verb, given).exit_code == 0
    request = admin.RevokeKeyRequest if verb == "revoke" else admin.RotateKeyRequest
    assert control.last(request).id == given  # the control plane resolves the name, in the same transaction


def test_a_name_that_several_keys_have_is_not_guessed(control: FakeAdmin, trunkline: Trunkline) -> None:
    done = trunkline("usage", "report", "--key", "laptop")
    assert done.exit_code == 1
    assert "laptop may be acme/laptop (k2), beta/laptop (k3): say which" in done.stderr
    assert not any(isinstance(each, admin.ReportUsageRequest) for each in control.asked)


def test_a_reason_is_not_drowned_in_suggestions(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.missing = 'no key "k0": it is revoked'
    assert trunkline("keys", "rotate", "k0").stderr == 'Error: no key "k0": it is revoked\n'


@pytest.mark.parametrize(("given", "id_"), [("acme/ci", "k1"), ("old", "k0"), ("k0", "k0"), ("gone", "gone")])
def test_usage_of_a_key_by_name(control: FakeAdmin, trunkline: Trunkline, given: str, id_: str) -> None:
    assert trunkline("usage", "report", "--by", "model", "--json", "--key", given).exit_code == 0
    assert control.last(admin.ReportUsageRequest).filter.key_id == id_


def test_the_heaviest_requests_show_names(control: FakeAdmin, trunkline: Trunkline) -> None:
    answer = admin.TopRequestsResponse()
    answer.records.add(id="r1", organisation_id="org_1", key_id="k1", model="gpt-4.1")
    answer.records.add(id="r2", organisation_id="org_9", key_id="k9", model="gpt-4.1")
    control.answers[admin.TopRequestsRequest] = answer
    shown = trunkline("usage", "top").stdout.splitlines()
    assert "acme/ci" in shown[1]
    assert {"org_9", "k9"} <= set(shown[2].split())


def test_the_audit_log_names_nodes(control: FakeAdmin, trunkline: Trunkline) -> None:
    event = admin.AuditEvent(id=1, at_us=1_700_000_000_000_000, actor=f"node:{NODES[0].id}", action="create")
    control.answers[admin.ListAuditEventsRequest] = admin.ListAuditEventsResponse(events=[event])
    assert "node:acme/rig" in trunkline("audit").stdout
    assert NODES[0].id in trunkline("audit", "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("providers", "remove", "opnai"), "did you mean openai?"),
        (("providers", "remove", "other"), "see `trunkline providers list`"),
        (("routes", "remove", "gpt-41"), "did you mean gpt-4.1?"),
        (("orgs", "remove", "Acme"), "did you mean acme?"),
        (("keys", "revoke", "acme/cii"), "did you mean acme/ci?"),
        (("keys", "create", "--org", "acmee", "--name", "x"), "did you mean acme?"),
        (("nodes", "drain", "rigg"), "did you mean acme/rig?"),
        (("nodes", "remove", "rigg"), "did you mean acme/rig?"),
        (("nodes", "invite", "--org", "amce"), "did you mean acme?"),
    ],
)
def test_what_the_control_plane_does_not_know_is_answered_with_what_it_knows(
    control: FakeAdmin, trunkline: Trunkline, arguments: tuple[str, ...], said: str
) -> None:
    control.missing = "no such object: `trunkline … list` shows which there are"
    done = trunkline(*arguments)
    assert done.exit_code == 1
    assert f"no such object: {said}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("providers", "update", "opnai"), "there is no provider opnai: did you mean openai?"),
        (("routes", "show", "gpt41"), "there is no route gpt41: did you mean gpt-4.1?"),
        (("nodes", "describe", "rigg"), "there is no node rigg: did you mean acme/rig?"),
        (("limits", "set", "org:acne", "concurrency=1"), "there is no org:acne: did you mean acme?"),
    ],
)
def test_so_is_what_the_command_itself_looks_up(
    trunkline: Trunkline, arguments: tuple[str, ...], said: str
) -> None:
    done = trunkline(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr


@pytest.mark.parametrize("noun", ["sso", "jwt"])
def test_the_command_that_is_recommended_exists(trunkline: Trunkline, noun: str) -> None:
    done = trunkline(noun, "remove", "corp")
    assert f"see `trunkline {noun} list`" in done.stderr
    assert trunkline(noun, "list").exit_code == 0


def test_no_name_of_another_kind_is_suggested(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.missing = 'no key "acme/jane"'
    done = trunkline("nodes", "invite", "--org", "acme", "--owner-key", "jane")
    assert done.stderr == 'Error: no key "acme/jane"\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("orgs", "add", "acme"), "organisation acme exists: to change it, use `trunkline orgs set acme`"),
        (
            ("providers", "add", "a", "--base-url", "http://h/v1"),
            "provider a exists: to change it, use `trunkline providers update a`",
        ),
    ],
)
def test_what_exists_is_changed_by_another_command(
    control: FakeAdmin, trunkline: Trunkline, arguments: tuple[str, ...], said: str
) -> None:
    control.refusal = grpc.StatusCode.ALREADY_EXISTS, "exists at version 2: give that version to replace it"
    assert trunkline(*arguments).stderr == f"Error: {said}\n"


def test_a_refusal_of_another_kind_is_passed_on(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.refusal = grpc.StatusCode.FAILED_PRECONDITION, "a route uses it"
    assert trunkline("providers", "remove", "openai").stderr == "Error: a route uses it\n"
