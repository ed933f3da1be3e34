from __future__ import annotations

import json

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator.ledger.writing import START, request_line
from translator.ledger import records
from translator.ledger.lines import RequestLine, parse
from translator.ledger.prices import Price, PriceBook
from translator.ledger.usage import Tokens


def route(*prices: policy.Price) -> policy.Route:
    return policy.Route(id="rt_gpt", targets=[policy.Target(id="openai/gpt-4.1", prices=prices)])


def line(**fields: object) -> RequestLine:
    found = parse(request_line("r", **fields).rstrip())
    assert type(found) is RequestLine
    return found


@pytest.mark.parametrize(
    ("price", "tokens", "cost"),
    [
        (Price(0, 1, 2_000_000, 8_000_000, 500_000, 0), Tokens(1000, 400, 100, 0), 600 * 2 + 400 // 2 + 800),
        (Price(0, 1, 500_000, 0, 500_000, 0), Tokens(1, 0, 0, 0), 1),  # a half goes up
        (Price(0, 1, 499_999, 0, 499_999, 0), Tokens(1, 0, 0, 0), 0),
        (Price(0, 1, 300_000, 200_000, 0, 0), Tokens(1, 0, 1, 0), 1),  # rounded once, not per kind
        (Price(0, 1, 0, 0, 0, 7), Tokens(5, 0, 5, 0), 7),
    ],
)
def test_cost(price: Price, tokens: Tokens, cost: int) -> None:
    assert price.cost(tokens) == cost


def test_the_price_at_the_requests_start_also_after_it_was_replaced() -> None:
    book = PriceBook()
    book.put(
        route(policy.Price(input=1_000_000, version=1), policy.Price(input=9, version=3, valid_from=START + 99))
    )
    book.put(route(policy.Price(input=2_000_000, version=2, valid_from=START + 1)))
    for start, version in ((START, 1), (START + 1, 2), (START + 98, 2), (START + 99, 3)):
        price = book.at("rt_gpt", "openai/gpt-4.1", start)
        assert price is not None
        assert price.version == version
    restored = PriceBook()
    restored.restore(json.loads(json.dumps(book.dump())))
    assert restored.at("rt_gpt", "openai/gpt-4.1", START) == book.at("rt_gpt", "openai/gpt-4.1", START)
    assert book.at("rt_gpt", "other", START) is None
    assert book.at("rt_x", "openai/gpt-4.1", START) is None


def test_bill() -> None:
    book = PriceBook()
    book.put(route(policy.Price(input=2_000_000, output=8_000_000, request=3, version=4)))
    assert records.bill(line(), book) == records.Bill(Tokens(10, 0, 5, 0), 20 + 40 + 3, 4)
    # What failed is free, its price per request included.
    assert records.bill(line(usage=None, status=503), book).cost == 0
    unknown = records.bill(line(target="other/x"), book)
    assert (unknown.tokens.total, unknown.cost, unknown.price_version) == (15, 0, 0)


def test_record() -> None:
    made = records.record(
        line(user="u%201", tag="t%2F", node="node_1", first_byte_us="7", duration_us=None),
        records.bill(line(), PriceBook()),
        (),
    )
    assert (made.id, made.format, made.started_at_us) == ("r", 1, START * 1_000_000 + 250)
    assert (made.end_user, made.tag, made.node_id, made.provider) == ("u 1", "t/", "node_1", "openai")
    assert (made.first_byte_us, made.duration_us, made.request_bytes, made.response_bytes) == (7, 2000, 300, 800)
    assert (made.prompt_tokens, made.completion_tokens, made.price_version) == (10, 5, 0)


def test_what_is_of_nobody_is_not_recorded() -> None:
    assert records.is_recorded(line())
    for fields in ({"org": None}, {"id": None}, {"route": "translator"}):
        assert not records.is_recorded(line(**fields))
