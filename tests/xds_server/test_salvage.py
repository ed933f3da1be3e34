"""One bad object delays no change of anybody else."""

from __future__ import annotations

from collections.abc import Callable

from xds_server.model import DefaultModel, DesiredState, Gateway, Organisation, Route
from xds_server.salvage import salvage


def routes(*models: str) -> dict[str, Route]:
    return {f"rt_{model}": Route(f"rt_{model}", model, ()) for model in models}


def failing_for(*bad: str) -> tuple[Callable[[DesiredState], Exception | None], list[DesiredState]]:
    """Returns a build that fails while a route of these models exists, and the states that it was tried with."""
    tried: list[DesiredState] = []

    def build(state: DesiredState) -> Exception | None:
        tried.append(state)
        found = [route.model for route in state.routes.values() if route.model in bad]
        return ValueError(f"cannot encode {found[0]}") if found else None

    return build, tried


def test_the_bad_ones_are_named_and_the_others_go_out() -> None:
    models = [f"m{number}" for number in range(200)]
    build, tried = failing_for("m17", "m140")
    built, broken = salvage(DesiredState(1), DesiredState(7, routes=routes(*models)), build)
    assert built.revision == 7
    assert {route.model for route in built.routes.values()} == set(models) - {"m17", "m140"}
    assert [(each.kind, each.name) for each in broken] == [("route", "m17"), ("route", "m140")]
    assert "ValueError: cannot encode m17" in broken[0].reason
    assert len(tried) < 50


def test_what_was_good_before_stays_in_its_last_good_form() -> None:
    good = DesiredState(1, routes={"rt": Route("rt", "fine", ())})
    build, _ = failing_for("broken")
    wanted = DesiredState(
        2, routes={"rt": Route("rt", "broken", ())}, organisations={"org": Organisation("org", "acme")}
    )
    built, broken = salvage(good, wanted, build)
    assert built.routes == good.routes
    assert built.organisations == wanted.organisations
    assert [(each.kind, each.name) for each in broken] == [("route", "broken")]


def test_the_gateway_is_an_object_like_others() -> None:
    wanted = DesiredState(2, gateway=Gateway(defaults=(DefaultModel("moderations", "m"),)), routes=routes("bad"))
    build, _ = failing_for("bad")
    built, broken = salvage(DesiredState(1), wanted, build)
    assert (built.gateway, built.routes) == (wanted.gateway, {})
    assert [(each.kind, each.name) for each in broken] == [("route", "bad")]

    def without_defaults(state: DesiredState) -> Exception | None:
        return ValueError("defaults") if state.gateway.defaults else None

    built, broken = salvage(DesiredState(1), wanted, without_defaults)
    assert (built.gateway, built.routes) == (Gateway(), wanted.routes)
    assert [each.reason.code for each in broken] == ["gateway.unbuildable"]


def test_what_is_removed_goes_last() -> None:
    good = DesiredState(1, routes=routes("a", "b"))
    build, _ = failing_for("c")
    built, broken = salvage(good, DesiredState(2, routes=routes("b", "c")), build)
    assert {route.model for route in built.routes.values()} == {"b"}
    assert len(broken) == 1


def test_a_build_that_always_fails_ends() -> None:
    tried: list[DesiredState] = []

    def build(state: DesiredState) -> Exception | None:
        tried.append(state)
        return ValueError("no disk")

    built, broken = salvage(
        DesiredState(1), DesiredState(2, routes=routes(*(f"m{number}" for number in range(5_000)))), build
    )
    assert not built.routes
    assert broken
    assert len(tried) < 200
