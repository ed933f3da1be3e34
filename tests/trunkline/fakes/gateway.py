"""`trunkline up` with tiny children: python -m tests.trunkline.fakes.gateway DATA_DIR LISTEN ADMIN [FAILING]."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.trunkline.fakes import child
from trunkline import address, gateway
from trunkline.errors import TrunklineError
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory
from trunkline.services import Settings
from trunkline.supervisor.spawn import ChildCommand


def _table(failing: str) -> gateway.Table:
    def table(
        settings: Settings, translator: socket.socket, inherited: Mapping[str, str]
    ) -> tuple[ChildCommand, ...]:
        layout = settings.layout

        def fake(name: str, *arguments: str, listen: socket.socket | None = None) -> ChildCommand:
            arguments = ("exit", "a reason") if name == failing else arguments
            argv = (sys.executable, "-I", child.__file__, *arguments)
            return ChildCommand(name, argv, dict(inherited), layout.log(name), listen)

        first_key = str(layout.first_key)
        return (
            fake("xds_server", "first-key", first_key),
            fake("translator", "pid", listen=translator),
            fake(
                "envoy",
                "http",
                first_key,
                str(layout.translator_socket),
                str(settings.openai),
                str(settings.admin),
            ),
        )

    return table


def main(data_dir: str, listen: str, admin: str, failing: str = "") -> None:
    settings = Settings(
        layout=Layout(Path(data_dir)),
        openai=address.parse(listen, flag="--listen"),
        admin=address.parse(admin, flag="--admin-listen"),
        control=address.parse("127.0.0.1:0", flag="--control-listen"),
        tunnel=address.parse("127.0.0.1:0", flag="--tunnel-listen"),
        tunnel_handshake=address.Address("127.0.0.1", 0),
        database_url="",
        config=None,
        envoy_binary=Path("/nonexistent"),
        envoy_modules=Path("/nonexistent"),
        envoy_concurrency=1,
        envoy_memory=EnvoyMemory(1 << 30),
        log_level="warning",
    )
    try:
        gateway.run(settings, _table(failing))
    except TrunklineError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
