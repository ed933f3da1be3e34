"""`make golden`: renews every golden file."""

from __future__ import annotations

import sys

from tests.golden import case, written


def main() -> None:
    """Writes the files that differ and prints their names; removes results without a case."""
    empty = written.empty()
    for source in case.cases():
        target, text = written.golden(source), written.rendered(source, empty)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
            sys.stdout.write(f"renewed {target.name}\n")
    for target in written.orphans():
        target.unlink()
        sys.stdout.write(f"removed {target.name}\n")


if __name__ == "__main__":
    main()
