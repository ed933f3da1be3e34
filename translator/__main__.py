"""`python -m translator`: the only reader of the command line and the environment."""

from __future__ import annotations

import asyncio
import os
import sys

from translator import app, listening, logs, settings
from translator.errors import SettingsError


def main() -> int:
    """Returns 0 after SIGTERM or SIGINT, and 2 if the settings cannot work."""
    try:
        inherited = listening.is_inherited(os.environ)
        chosen, check_only = settings.parse(sys.argv[1:], inherited=inherited)
        if check_only:
            sys.stdout.write("the settings are valid\n")
            return 0
        sock = listening.inherit() if chosen.socket is None else listening.bind(chosen.socket)
    except SettingsError as error:
        sys.stderr.write(f"translator: {error}\n")
        return 2
    log = logs.configure(chosen.log_level)
    asyncio.run(app.run(chosen, sock, log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
