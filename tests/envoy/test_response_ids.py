"""`envoy/module/{scanner,places,facts}.c`: the id of the response that an answer creates.

Later requests that refer to that id go to the target that created it. So nothing that a client or a model wrote
may be mistaken for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.envoy.answers_model import LONGEST_RESPONSE_ID
from tests.envoy.native import Driver

OWN = '"id":"resp_own"'
#: Members of a response that contain something like an id, but are not its id.
OTHERS = [
    '"conversation":{"id":"conv_other"}',
    '"output":[{"id":"resp_other","content":[{"id":"resp_other","text":"\\"id\\":\\"resp_other\\""}]}]',
    '"tools":[{"id":"resp_other","parameters":{"properties":{"id":"resp_other"}}}]',
    '"metadata":{"id":"resp_other"}',
    '"instructions":"{\\"id\\": \\"resp_other\\"}"',
    '"error":{"id":"resp_other"}',
    '"prompt":{"id":"pmpt_other"}',
    '"previous_response_id":"resp_other"',
    '"response":{"response":{"id":"resp_other"}}',
    '"usage":{"id":"resp_other"}',
    '"Id":"resp_other"',
    '"id":null,"id":7,"id":["resp_other"],"id":{"id":"resp_other"}',
    '"id":"","id":"not an id","id":"a/b","id":"..","id":"\\u0072esp_other"',
]


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("answers") as running:
        yield running


def plain(driver: Driver, text: str, size: int = 1 << 20) -> str:
    return driver.ask("plain", *pieces(text, size))[4].decode()


def streamed(driver: Driver, *data: str, size: int = 1 << 20) -> str:
    text = "".join(f"event: e\ndata: {each}\n\n" for each in data)
    return driver.ask("events", 0, 1, *pieces(text, size))[4].decode()


def pieces(text: str, size: int) -> list[bytes]:
    whole = text.encode()
    return [whole[at : at + size] for at in range(0, len(whole), size)]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_only_the_top_level_id_of_a_plain_answer_is_taken(driver: Driver, other: str, size: int) -> None:
    assert plain(driver, f"{{{other}}}", size) == ""
    assert plain(driver, f"{{{other},{OWN}}}", size) == "resp_own"
    assert plain(driver, f"{{{OWN},{other}}}", size) == "resp_own"


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_only_the_id_of_the_response_of_an_event_is_taken(driver: Driver, other: str, size: int) -> None:
    created = f'{{"type":"response.created","response":{{{other},{OWN}}}}}'
    assert streamed(driver, created, size=size) == "resp_own"
    assert streamed(driver, f'{{"type":"response.created","response":{{{other}}}}}', size=size) == ""
    item = f'{{"type":"response.output_item.added","id":"resp_other","item":{{{other},{OWN}}}}}'
    assert streamed(driver, item, size=size) == ""
    assert streamed(driver, item, created, size=size) == "resp_own"


def test_the_first_one_counts(driver: Driver) -> None:
    assert plain(driver, '{"id":"resp_1","id":"resp_2"}') == "resp_1"
    both = [json.dumps({"response": {"id": name}}) for name in ("resp_1", "resp_2")]
    assert streamed(driver, *both) == "resp_1"


@pytest.mark.parametrize("name", ["resp_1", "resp_bGl0ZQ==", "a.b:c~d+e-f", "x" * LONGEST_RESPONSE_ID])
def test_what_can_stand_in_a_path_is_an_id(driver: Driver, name: str) -> None:
    assert plain(driver, json.dumps({"id": name})) == name


@pytest.mark.parametrize(
    "name", ["x" * (LONGEST_RESPONSE_ID + 1), "x" * 20_000, "a b", "a/b", "a%2Fb", "a?b", "a\n", "é", ""]
)
def test_nothing_else_is(driver: Driver, name: str) -> None:
    assert plain(driver, json.dumps({"id": name})) == ""
    assert plain(driver, json.dumps({"id": name, "usage": {"total_tokens": 1}})) == ""
    assert plain(driver, json.dumps([{"id": "resp_1"}])) == ""


def test_a_late_one_is_found(driver: Driver) -> None:
    assert plain(driver, json.dumps({"output": ["x" * 300_000], "id": "resp_late"}), 4096) == "resp_late"
