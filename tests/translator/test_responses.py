"""The target that created a response."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from translator import responses
from translator.errors import Refusal
from translator.responses import Responses

LOG_CONTEXT = "rq 1800000000000000 org key rt_1 gpt%2Fx 100 5n 10 p - -"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(path: Path, clock: Clock) -> Responses:
    return Responses(path / "responses", structlog.get_logger(), clock)


def test_it_is_found_by_its_organisation_until_it_is_too_old(tmp_path: Path) -> None:
    clock = Clock()
    known = opened(tmp_path, clock)
    known.response_created(f"resp_1\nnd_1\nnodes/m\n{LOG_CONTEXT}")
    known.response_created(f"resp_2\n\na/m#2\n{LOG_CONTEXT}")
    origin = known.find("org", "resp_1")
    assert (origin.cluster, origin.machine, origin.route, origin.model) == ("nodes/m", "nd_1", "rt_1", "gpt/x")
    assert known.find("org", "resp_2").machine == "-"
    for organisation, response in (("other", "resp_1"), ("org", "resp_3")):
        with pytest.raises(Refusal) as refused:
            known.find(organisation, response)
        assert (refused.value.status, refused.value.code) == (404, "response_not_found")
    clock.now += responses.LONGEST + 1
    with pytest.raises(Refusal):
        known.find("org", "resp_1")
    known.close()


def test_a_translator_that_starts_again_knows_it(tmp_path: Path) -> None:
    first = opened(tmp_path, Clock())
    first.response_created(f"resp_1\n\na/m\n{LOG_CONTEXT}")
    first.response_created(f"resp_1\n\nb/m\n{LOG_CONTEXT}")  # the id of another target: the last one counts
    first.close()
    with (tmp_path / "responses").open("ab") as file:
        file.write(b'["resp_2","org"')  # torn
    again = opened(tmp_path, Clock())
    assert again.find("org", "resp_1").cluster == "b/m"
    again.response_created(f"resp_3\n\na/m\n{LOG_CONTEXT}")
    again.close()
    third = opened(tmp_path, Clock())
    assert third.find("org", "resp_3")
    third.close()


def test_a_target_cannot_take_over_another_organisations_response(tmp_path: Path) -> None:
    known = opened(tmp_path, Clock())
    known.response_created(f"resp_1\n\na/m\n{LOG_CONTEXT}")
    known.response_created(f"resp_1\n\nb/m\n{LOG_CONTEXT.replace('org', 'other')}")
    for again in (known, opened(tmp_path, Clock())):
        assert (again.find("org", "resp_1").cluster, again.find("other", "resp_1").cluster) == ("a/m", "b/m")
        again.close()


def test_no_organisation_makes_the_responses_of_others_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "MAX", 10)
    known = opened(tmp_path, Clock())
    for number in range(3):
        known.response_created(f"resp_{number}\n\na/m\n{LOG_CONTEXT}")
    for number in range(100):
        known.response_created(f"flood_{number}\n\na/m\n{LOG_CONTEXT.replace('org', 'flood')}")
    for again in (known, opened(tmp_path, Clock())):
        assert all(again.find("org", f"resp_{number}") for number in range(3))
        assert again.find("flood", "flood_99")
        with pytest.raises(Refusal):
            again.find("flood", "flood_92")
        again.close()


def test_memory_and_file_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MAX", 10)
    known = opened(tmp_path, Clock())
    for number in range(100):
        known.response_created(f"resp_{number}\n\na/m\n{LOG_CONTEXT}")
    with pytest.raises(Refusal):
        known.find("org", "resp_89")
    assert known.find("org", "resp_90")
    known.close()
    assert len((tmp_path / "responses").read_bytes().splitlines()) <= 21
    again = opened(tmp_path, Clock())
    assert again.find("org", "resp_99")
    again.close()


def test_what_is_no_note_is_ignored(tmp_path: Path) -> None:
    known = opened(tmp_path, Clock())
    known.response_created("resp_1\n\na/m\n")
    with pytest.raises(Refusal):
        known.find("org", "resp_1")
    known.close()


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", b"/v1/responses/resp_1", "resp_1"),
        ("DELETE", b"/v1/responses/resp_1", "resp_1"),
        ("POST", b"/v1/responses/resp_1/cancel", "resp_1"),
        ("GET", b"/v1/responses/resp_1/input_items", "resp_1"),
        ("POST", b"/v1/responses/compact", ""),
        ("POST", b"/v1/responses/input_tokens", ""),
        ("GET", b"/v1/responses/", ""),
        ("GET", b"/v1/responses/resp_bGl0ZQ==", "resp_bGl0ZQ=="),
        ("GET", b"/v1/responses/..", ""),
        ("GET", b"/v1/responses/a%2Fb", ""),
        ("GET", b"/v1/responses/resp_1/other", ""),
    ],
)
def test_a_path_names_it(method: str, path: bytes, named: str) -> None:
    assert responses.named(method, path) == named


def test_another_method_is_not_allowed() -> None:
    with pytest.raises(Refusal) as refused:
        responses.named("PUT", b"/v1/responses/resp_1")
    assert (refused.value.status, refused.value.headers["allow"]) == (405, "GET, HEAD, DELETE")
