"""From the first connection on, a valid key is served or asked to retry, but never unknown."""

from __future__ import annotations

import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess
from tests.ports import ReservedPort
from tests.waiting import eventually

KEY = "a-key-that-was-in-use-elsewhere"


def config(provider: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider)],
        "routes": [{"model": "plain", "targets": [{"provider": "a", "model": "plain"}]}],
        "organisations": [{"name": "acme", "keys": [{"name": "old", "value": "env:OLD_KEY"}]}],
    }


class Asking:
    """Requests the list of models with one key, from before the start until `end`; `statuses` in order."""

    def __init__(self, address: str, key: str) -> None:
        self._request = urllib.request.Request(
            f"http://{address}/v1/models", headers={"authorization": f"Bearer {key}"}
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.statuses: list[int] = []

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(0.005):
            try:
                with urllib.request.urlopen(self._request, timeout=60) as answer:
                    self.statuses.append(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    reported = error.code == 503 and error.headers["retry-after"]
                    self.statuses.append(error.code if reported or error.code != 503 else -503)
            except OSError:
                continue  # nobody listens yet


def started(
    data: Path, configured: Mapping[str, Any] | None, key: str, *, arguments: Sequence[str] = ()
) -> list[int]:
    """Returns the statuses that `key` got while a gateway started, up to one after it was ready."""
    port = ReservedPort()
    address = f"127.0.0.1:{port.number}"
    environment = {**PROVIDER_CREDENTIALS, "OLD_KEY": KEY}
    gateway = GatewayProcess(
        data, configured, environment=environment, arguments=["--listen", address, *arguments]
    )
    with Asking(address, key) as asking, gateway:
        seen = len(asking.statuses)
        eventually(lambda: len(asking.statuses) >= seen + 2)
        asking.end()  # while the gateway still serves
    return asking.statuses


def test_at_a_first_start_the_key_of_a_file(tmp_path: Path, provider_a: ProviderProcess) -> None:
    statuses = started(tmp_path / "data", config(provider_a), KEY)
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


def test_behind_a_policy_of_before_the_backup(tmp_path: Path) -> None:
    data = tmp_path / "data"
    snapshot = data / "translator" / "policy.snapshot"
    with GatewayProcess(data):
        eventually(snapshot.exists)
    shutil.copy(snapshot, tmp_path / "older")
    with GatewayProcess(data) as gateway:
        made = gateway.run("keys", "create", "--org", "default", "--name", "later").stdout
        key = next(word for word in made.split() if word.startswith("sk-tl-"))
    shutil.copy(tmp_path / "older", snapshot)
    statuses = started(data, None, key)
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200
