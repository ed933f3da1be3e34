"""`python -m xds_server`: see `--help`."""

from __future__ import annotations

import asyncio
import sys

from xds_server import logs, settings
from xds_server.errors import XdsServerError


def main() -> None:
    """Runs the control plane, or only checks its configuration. Exits with a message if it cannot start."""
    chosen = settings.from_process()
    if chosen.check_only:
        return
    logs.configure(chosen.log_level)
    from xds_server.app import run  # noqa: PLC0415  # a second of imports that --help and --check-config don't need

    try:
        asyncio.run(run(chosen))
    except XdsServerError as error:
        sys.exit(f"xds_server: {error}")


if __name__ == "__main__":
    main()
