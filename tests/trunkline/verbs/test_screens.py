"""Every listing at the widths of terminals, and the command's behaviour as a process."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from fcntl import ioctl
from typing import Any

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import TOKEN, FakeAdmin
from tests.trunkline.hostile import filled
from tests.trunkline.verbs.test_hostile import LISTINGS
from trunkline import output
from trunkline.table import width_of

LONG = "a-name-that-an-operator-would-never-choose-but-a-script-does/with/slashes:and-a-tag-of-its-own"
ROUTES = admin.ListRoutesResponse(
    routes=[
        admin.Route(model=f"{LONG}-{number}", targets=[admin.RouteTarget(provider="openai", model=LONG)])
        for number in range(2)
    ]
)


def _long(message: Any) -> Any:
    """Returns `message` with every text as long as a name can be."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                _long(each)
        elif field.type == field.TYPE_STRING:
            if field.is_repeated:
                del value[:]
                value.extend([LONG, LONG])
            else:
                setattr(message, field.name, LONG)
    return message


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("verb", LISTINGS, ids=lambda verb: " ".join(verb[:2]))
def test_no_table_is_wider_than_the_terminal(
    control: FakeAdmin,
    trunkline: Trunkline,
    monkeypatch: pytest.MonkeyPatch,
    verb: tuple[str, ...],
    width: int,
) -> None:
    for rpc in admin.DESCRIPTOR.services_by_name["Admin"].methods:
        answer = filled(getattr(admin, rpc.output_type.name))
        control.answers[getattr(admin, rpc.input_type.name)] = _long(answer)
    monkeypatch.setattr(output, "width", lambda: width)
    verb = tuple(LONG if word.startswith("id") else word for word in verb)
    shown = trunkline(*verb)
    assert shown.exit_code == 0, shown.output
    rows = shown.stdout.partition("\ncontrol plane:")[0].splitlines()
    assert [line for line in rows if width_of(line) > width] == []


class InTerminal:
    """`trunkline` in a terminal with `columns`, run to its end: its output and its exit code."""

    def __init__(self, columns: int, environment: Mapping[str, str], *arguments: str) -> None:
        own, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        process = subprocess.Popen(
            [sys.executable, "-m", "trunkline", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, env={**inherited, **environment},
        )  # fmt: skip
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(own, 65536)
            except OSError:  # Linux says so at the end
                break
            if not chunk:
                break
            chunks.append(chunk)
        os.close(own)
        self.status = process.wait(60)
        self.lines = b"".join(chunks).decode().replace("\r\n", "\n").splitlines()


def _pointed(control: FakeAdmin, **more: str) -> dict[str, str]:
    return {"TRUNKLINE_CONTROL": control.address, "TRUNKLINE_ADMIN_TOKEN": TOKEN, **more}


@pytest.mark.processes
def test_a_terminal_is_asked_for_its_width(control: FakeAdmin) -> None:
    control.answers[admin.ListRoutesRequest] = ROUTES
    shown = InTerminal(60, _pointed(control), "routes", "list")
    assert shown.status == 0
    assert max(map(width_of, shown.lines)) <= 60
    assert "--wide shows all" in " ".join(" ".join(shown.lines).split()), shown.lines
    whole = InTerminal(60, _pointed(control), "routes", "list", "--wide")
    assert any(LONG in line for line in whole.lines)
    assert "privacy" in whole.lines[0]


@pytest.mark.processes
def test_columns_overrules_the_terminal(control: FakeAdmin) -> None:
    control.answers[admin.ListRoutesRequest] = ROUTES
    shown = InTerminal(60, _pointed(control, COLUMNS="100"), "routes", "list")
    assert 60 < max(map(width_of, shown.lines)) <= 100


@pytest.mark.processes
def test_no_escape_sequence_reaches_a_terminal(control: FakeAdmin) -> None:
    control.answers[admin.ListRoutesRequest] = ROUTES
    for arguments in (("routes", "list"), ("routes", "lst"), ("--help",)):
        assert "\x1b" not in "\n".join(InTerminal(80, _pointed(control), *arguments).lines)


def _run(control: FakeAdmin, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "trunkline", *arguments],
        capture_output=True, check=False, timeout=60, env={**os.environ, **_pointed(control), **environment},
    )  # fmt: skip


def test_a_pipe_has_all_columns_whole(control: FakeAdmin) -> None:
    control.answers[admin.ListRoutesRequest] = ROUTES
    head, line, _ = _run(control, "routes", "list").stdout.decode().splitlines()
    assert head.split() == ["model", "organisation", "strategy", "targets", "privacy", "managed", "by"]
    assert f"openai/{LONG}" in line


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=["C", "latin-1", "ascii"],
)
def test_a_locale_without_the_characters_costs_no_traceback(
    control: FakeAdmin, environment: Mapping[str, str]
) -> None:
    routes = [admin.Route(model="模型…", targets=[admin.RouteTarget(nodes="模型…")])]
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(routes=routes)
    for arguments in (("routes", "list"), ("routes", "show", "模型…"), ("routes", "show", "x…"), ("--help",)):
        done = _run(control, *arguments, **environment)
        assert b"Traceback" not in done.stderr, done.stderr
    listed = json.loads(_run(control, "routes", "list", "--json", **environment).stdout)
    assert listed[0]["model"] == "模型…"


def test_a_reader_that_leaves_is_no_error(control: FakeAdmin) -> None:
    many = [admin.Route(model=f"m{n}", targets=[admin.RouteTarget(nodes="n")]) for n in range(20_000)]
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(routes=many)
    command = f"{sys.executable} -m trunkline routes list | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, check=True, timeout=60, env={**os.environ, **_pointed(control)}
    )
    assert done.stdout.startswith(b"model")
    assert done.stderr == b""


def test_an_interrupt_ends_it_in_one_line(control: FakeAdmin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "trunkline", "routes", "list"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **_pointed(control), "TRUNKLINE_CONTROL": address},
        )  # fmt: skip
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, said) == (b"", b"interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("provders", "list"), "Did you mean 'providers'?"),
        (("organisations", "list"), "Did you mean 'orgs'?"),
        (("key", "list"), "Did you mean 'keys'?"),
        (("keys", "add"), "Did you mean 'create'?"),
        (("keys", "delete", "k"), "Did you mean 'revoke'?"),
        (("routes", "rm", "gpt"), "Did you mean 'remove'?"),
        (("nodes", "frobnicate"), "There are: approve,"),
        (("routes", "list", "--outptu", "json"), "Did you mean '--output'?"),
    ],
)
def test_what_was_meant_is_suggested(trunkline: Trunkline, arguments: tuple[str, ...], said: str) -> None:
    done = trunkline(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_help_fits_80_columns(trunkline: Trunkline) -> None:
    shown = trunkline("--help", COLUMNS="80").stdout
    assert max(map(width_of, shown.splitlines())) <= 80
    assert re.search(r"Exit\s+codes:\s+0\s+success", shown)
