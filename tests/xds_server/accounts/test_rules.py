"""The rules that need no store: guesses, passwords, sessions, links."""

from __future__ import annotations

import asyncio
import importlib
import math

import pytest

from xds_server.accounts import guesses, links, passwords, tokens
from xds_server.accounts.errors import SignInError, TooManyGuessesError
from xds_server.accounts.guesses import AttemptBound, SignInAttempts
from xds_server.accounts.model import Session
from xds_server.accounts.oidc import claims
from xds_server.accounts.sessions import Lifetime

BOUND = AttemptBound(free=3, first=2, longest=30)


def test_waits_double_up_to_the_longest() -> None:
    assert [BOUND.wait(each) for each in range(9)] == [0, 0, 0, 2, 4, 8, 16, 30, 30]
    assert BOUND.wait(10**6) == 30


def test_what_was_long_ago_counts_no_more() -> None:
    known = SignInAttempts(5, last_at=1_000)
    assert known.remaining(BOUND, 1_000) == 8
    assert known.remaining(BOUND, 1_007) == 1
    assert known.remaining(BOUND, 1_008) == 0
    assert (
        known.current(1_000 + guesses.FORGOTTEN_AFTER - 1),
        known.current(1_000 + guesses.FORGOTTEN_AFTER),
    ) == (5, 0)


def test_subjects_tell_nothing() -> None:
    assert guesses.account("a@b.example") != guesses.address("a@b.example")
    assert "a@b" not in guesses.account("a@b.example")


def test_sessions_end_when_idle_and_in_any_case() -> None:
    lifetime = Lifetime(idle=100, absolute=1_000)
    session = Session(b"", "usr_1", created_at=0, seen_at=500, expires_at=1_000)
    assert [lifetime.is_alive(session, at) for at in (500, 599, 600)] == [True, True, False]
    used = Session(b"", "usr_1", created_at=0, seen_at=990, expires_at=1_000)
    assert [lifetime.is_alive(used, at) for at in (999, 1_000)] == [True, False]


def test_a_link_has_its_value_in_the_fragment() -> None:
    value = tokens.new(tokens.TokenKind.LINK)
    assert links.url("https://gw.example/", links.Purpose.RESET, value) == f"https://gw.example/#reset={value}"


@pytest.mark.slow
async def test_passwords_are_argon2id_and_nobodys_costs_as_much() -> None:
    fresh = importlib.reload(passwords)
    hashed = await fresh.Passwords().hash("correct horse battery")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert fresh._NOBODYS.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert len(fresh._NOBODYS) == len(hashed)
    assert await fresh.Passwords().matches("correct horse battery", hashed)
    assert not await fresh.Passwords().matches("correct horse batterx", hashed)
    assert not await fresh.Passwords().matches("correct horse battery", "")
    assert not await fresh.Passwords().matches("correct horse battery", "not a hash")


async def test_the_same_password_typed_on_another_system() -> None:
    known = passwords.Passwords()
    assert await known.matches("cafe\u0301 au lait 1", await known.hash("caf\u00e9 au lait 1"))


async def test_only_so_many_wait_to_be_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_MAX_WAITING", 3)
    known = passwords.Passwords()
    tried = await asyncio.gather(*(known.hash("correct horse") for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(each, TooManyGuessesError) for each in tried) == 3


RIGHT = {"iss": "https://a", "aud": "us", "sub": "x", "nonce": "n", "iat": 1_000, "exp": 1_300}


@pytest.mark.parametrize(
    ("now", "accepted"), [(939, False), (940, True), (1_000, True), (1_359, True), (1_360, False)]
)
def test_clocks_may_differ_by_a_minute(now: int, accepted: bool) -> None:
    try:
        claims.check_id_token(RIGHT, issuer="https://a", client_id="us", nonce="n", now=now)
    except SignInError:
        assert not accepted
    else:
        assert accepted


def test_numbers_that_are_none_are_no_times() -> None:
    for wrong in (math.nan, math.inf, True, "5", None):
        with pytest.raises(SignInError):
            claims.check_id_token(
                {**RIGHT, "iat": wrong}, issuer="https://a", client_id="us", nonce="n", now=1_000
            )
    with pytest.raises(SignInError):
        claims.check_id_token({**RIGHT, "exp": math.nan}, issuer="https://a", client_id="us", nonce="n", now=1_000)
