"""`make clients`: runs every client and updates the table in docs/clients.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.clients import table
from tests.clients.client import CLIENTS
from tests.clients.running import run_all


def main() -> None:
    """Prints the cases with unexpected results; exits with 1 if there are any."""
    with tempfile.TemporaryDirectory() as directory:
        made = run_all(Path(directory)).results
    wrong = {
        f"{client.name}, {case}": made[client.name].get(case)
        for client in CLIENTS
        for case, expected in client.expected.items()
        if made[client.name].get(case) != expected
    }
    for case, result in wrong.items():
        sys.stdout.write(f"{case}: {result}\n")
    if table.renew(made):
        sys.stdout.write(f"renewed the table in {table.DOCUMENT.name}\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
