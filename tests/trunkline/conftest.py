"""Fixtures: a control plane that answers, and the command connected to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from tests.trunkline.fakes.admin import TOKEN, FakeAdmin, serving
from trunkline.__main__ import main

Trunkline = Callable[..., Result]


@pytest.fixture
def control() -> Iterator[FakeAdmin]:
    with serving() as fake:
        yield fake


@pytest.fixture
def trunkline(control: FakeAdmin) -> Trunkline:
    def run(*arguments: str, **environment: str) -> Result:
        pointed = {"TRUNKLINE_CONTROL": control.address, "TRUNKLINE_ADMIN_TOKEN": TOKEN}
        return CliRunner().invoke(main, arguments, env=pointed | environment)

    return run
