"""Queries in which a target could read names that the gateway reads only in the body."""

from __future__ import annotations

import time

import pytest

from translator.bodies.names import check_query
from translator.errors import Refusal


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("model=expensive", "model"),
        ("api-version=1&model=expensive", "model"),
        ("a;model=x", "model"),
        ("Model=x", "model"),
        ("%6D%6f%64el=x", "model"),
        ("model", "model"),
        ("model[]=x", "model"),
        ("model%5B0%5D=x", "model"),
        ("+model=x", "model"),
        ("m%C5%BFodel=x&%C5%BFtream=true", "stream"),
        ("stream=true", "stream"),
        ("max_tokens=9", "max_tokens"),
        ("maxTokens=9", "max_tokens"),
        ("models=a,b", "model"),
        ("n=100", "n"),
        ("model%00x=1", "model"),
    ],
)
def test_a_parameter_that_a_server_may_read_instead_of_the_body_is_refused(query: str, meant: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_query(query)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "ambiguous_parameter", meant)


@pytest.mark.parametrize(
    "query", ["key=sk-tl-x", "a=1&api_key=x", "api-key=x", "%6bey=x", "Subscription-Key=x", "access_token=x"]
)
def test_a_credential_in_the_query_goes_to_no_target(query: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_query(query)
    assert (caught.value.status, caught.value.code) == (400, "ambiguous_parameter")
    assert "Authorization" in caught.value.message


@pytest.mark.parametrize(
    "query", ["api-version=2024-10-21&x=%20", "beta=true", "=model", "x=model", "%=%zz", "&&"]
)
def test_others_are_left_alone(query: str) -> None:
    check_query(query)


@pytest.mark.parametrize("query", ["a&" * 60_000, "a" * 60_000, "%C5%BF" * 10_000])
def test_a_long_query_is_refused_without_a_look_at_it(query: str) -> None:
    start = time.process_time()
    with pytest.raises(Refusal):
        check_query(query)
    assert time.process_time() - start < 1
