"""The service as a process: its socket, its snapshot across kill -9, its end, and its logs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.translator import policies
from tests.translator.asking import Answer, Peer, check
from tests.translator.control_plane import ControlPlane
from tests.translator.policies import OTHER_VALUE, VALUE
from tests.waiting import until, until_answered
from translator.checks.frames import FrameKind

pytestmark = pytest.mark.processes

PROMPT = "the-secret-of-the-prompt"
#: The supervisor's steps after the fork: the socket gets descriptor 3, and only the child knows the pid.
INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
#: `python -m translator` that waits longer for its first policy, which takes a busy machine longer.
PATIENT = """
import sys
from translator import __main__, app
app._FIRST_POLICY_SECONDS = 60.0
sys.exit(__main__.main())
"""


@dataclass
class Translator:
    """A running process; `path` is its socket, `log` its standard error."""

    process: asyncio.subprocess.Process
    path: Path
    log: Path

    async def ask(
        self, target: str, body: object = None, value: str = VALUE, **headers: str
    ) -> tuple[int, Any, str]:
        """Returns status, JSON and head of an answer."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = {"authorization": f"Bearer {value}", "content-length": str(len(content)), "connection": "close"}
        lines |= {name.replace("_", "-"): text for name, text in headers.items()}
        method = "GET" if body is None else "POST"
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        async with asyncio.timeout(60):
            reader, writer = await self._connected()
            writer.write(head.encode() + content)
            answer = await reader.read()
            writer.close()
        answered, _, rest = answer.partition(b"\r\n\r\n")
        return int(answered[9:12]), json.loads(rest) if rest else None, answered.decode()

    async def decide(self, body: object, **options: str) -> Answer:
        """Sends a check like Envoy's module, over a connection of its own."""
        peer = await Peer.upgrade(*await self._connected())
        try:
            (answer,) = await peer.ask([check(1, body, kind=FrameKind.WHOLE, **options)])
        finally:
            await peer.close()
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Retries until the socket exists."""
        while True:
            try:
                return await asyncio.open_unix_connection(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.returncode is not None:
                    raise ConnectionError(f"the translator ended: {self.log.read_text()}") from None
                await asyncio.sleep(0.01)  # nothing to await: nobody listens yet

    async def until_ready(self) -> dict[str, Any]:

        async def ready() -> dict[str, Any]:
            status, body, _ = await self.ask("/readyz")
            return dict(body) if status == 200 else {}

        return await until_answered(ready)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def running(
    tmp_path: Path, inherited: socket.socket | None = None, *, patient: bool = False
) -> AsyncIterator[Translator]:
    path, log = tmp_path / "t.sock", tmp_path / "log"
    arguments = [
        "-P",
        *(("-c", PATIENT) if patient else ("-m", "translator")),
        "--control",
        f"unix:{tmp_path}/ads",
        "--state-dir",
        str(tmp_path / "state"),
        "--ledger-dir",
        str(tmp_path / "ledger"),
    ]
    arguments += ["--id", "t1", "--log-level", "debug"]
    descriptors: tuple[int, ...] = ()
    if inherited is None:
        arguments += ["--socket", str(path)]
    else:
        descriptors = (inherited.fileno(),)
        arguments = ["-c", INHERIT, str(inherited.fileno()), *arguments]
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stderr=stderr, pass_fds=descriptors, env=dict(os.environ)
        )
    try:
        yield Translator(process, path, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def control_plane(tmp_path: Path) -> ControlPlane:
    return ControlPlane(f"unix:{tmp_path}/ads", policies.organisation(), policies.key(), policies.route())


async def test_it_serves_its_snapshot_after_kill_9_with_the_control_plane_away(tmp_path: Path) -> None:
    chat = {"model": "gpt-4.1", "messages": [{"role": "user", "content": PROMPT}]}
    async with control_plane(tmp_path) as control:
        async with running(tmp_path) as translator:
            await control.start()
            assert (await translator.until_ready())["policy"] == "control plane"
            allowed = await translator.decide(chat)
            assert (allowed.status, allowed.route) == (200, "rt_gpt")
            assert (await translator.ask("/v1/models", x_trunkline_key="key_ci"))[1]["data"][0]["id"] == "gpt-4.1"
            snapshot = tmp_path / "state" / "policy.snapshot"
            await until(lambda: snapshot.exists() and b"rt_gpt" in snapshot.read_bytes())
            await control.stop()
            assert (await translator.decide(chat)).status == 200
            await translator.kill()
        async with running(tmp_path) as translator:
            assert (await translator.decide(chat)).status == 200
            assert (await translator.until_ready())["policy"] == "snapshot"
            control.remove(policies.key())
            await control.start()

            async def refused() -> bool:
                return (await translator.decide(chat)).status == 401

            await until_answered(refused)


async def test_one_killed_before_it_kept_its_policy_answers_when_it_has_it_again(tmp_path: Path) -> None:
    chat = {"model": "gpt-4.1", "messages": [{"role": "user", "content": PROMPT}]}
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "t.sock"))
        sock.listen(16)
        async with control_plane(tmp_path) as control, running(tmp_path, sock, patient=True) as translator:
            await control.start()
            assert (await translator.decide(chat)).status == 200


async def test_a_damaged_snapshot_is_reported_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "policy.snapshot").write_bytes(b"trunkline policy snapshot 1\nrubbish")
    async with running(tmp_path) as translator:
        assert (await translator.ask("/readyz"))[0] == 503
        assert (await translator.ask("/healthz"))[0] == 200
        assert '"message": "snapshot ignored"' in translator.log.read_text()


async def test_an_inherited_socket_holds_connections_while_the_process_restarts(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "t.sock"))
        sock.listen(16)
        async with running(tmp_path, sock) as translator:
            assert (await translator.ask("/healthz"))[0] == 200
            await translator.kill()
        waiting = asyncio.create_task(translator.ask("/healthz"))
        async with running(tmp_path, sock):
            assert (await waiting)[0] == 200


async def test_sigterm_lets_the_request_that_is_arriving_finish_and_saves_the_policy(tmp_path: Path) -> None:
    async with control_plane(tmp_path) as control, running(tmp_path) as translator:
        await control.start()
        await translator.until_ready()
        reader, writer = await asyncio.open_unix_connection(str(translator.path))
        # The first request's answer shows that the beginning of the second one has been read.
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\nGET /v1/models HTTP/1.1\r\n")
        await reader.readuntil(b'{"status":"ok"}')
        translator.process.send_signal(signal.SIGTERM)

        async def closed() -> bool:
            return not (translator.path.exists() and await can_connect(translator.path))

        await until_answered(closed)
        writer.write(b"x-trunkline-key: key_ci\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert await translator.process.wait() == 0
        writer.close()
        assert b"rt_gpt" in (tmp_path / "state" / "policy.snapshot").read_bytes()


async def can_connect(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


async def test_nothing_secret_is_logged_or_stored(tmp_path: Path) -> None:
    async with control_plane(tmp_path) as control, running(tmp_path) as translator:
        await control.start()
        await translator.until_ready()
        target = f"/v1/chat/completions?q={PROMPT}"
        for value in (VALUE, OTHER_VALUE, "short-secret"):
            for body in (
                {"model": "gpt-4.1", "prompt": PROMPT},
                {"model": PROMPT},
                {"model": [PROMPT]},
                [PROMPT],
                {"model": "gpt-4.1", "prompt": PROMPT, "stream": PROMPT},
            ):
                await translator.decide(
                    body, target=target, value=value, content_type=PROMPT, x_trunkline_tag=PROMPT
                )
        await translator.decide({"model": PROMPT}, target=f"/{PROMPT}")
        await translator.decide({"model": "gpt-4.1"}, content_encoding=PROMPT)
        await translator.ask("/v1/models/x", x_trunkline_key=PROMPT)
        translator.process.terminate()
        assert await translator.process.wait() == 0
        log = translator.log.read_text()
        assert '"message": "refused"' in log
        stored = (tmp_path / "state" / "policy.snapshot").read_bytes().decode("latin-1")
        for text in (log, stored):
            for secret in (PROMPT, VALUE[-10:], OTHER_VALUE, "short-secret", "Bearer"):
                assert secret not in text
        assert all(json.loads(line)["service"] == "translator" for line in log.splitlines())


async def test_check_config(tmp_path: Path) -> None:
    for control, status in (("unix:/x", 0), ("nonsense", 2)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "translator", "--control", control, "--id", "t1", "--check-config"),
            *("--state-dir", str(tmp_path), "--ledger-dir", str(tmp_path), "--socket", str(tmp_path / "s")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == status
        assert (b"valid" in output) == (status == 0)
        assert (b"--control" in errors) == (status == 2)
        assert not (tmp_path / "s").exists()
