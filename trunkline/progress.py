"""Progress of long work, for a person at a terminal: on stderr, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

import click

T = TypeVar("T", bound=Sized)


def shown(pages: Iterable[T], total: Callable[[], int], label: str) -> Iterator[T]:
    """Passes `pages` on, with a bar of how many of `total` items they held so far.

    In a file or a pipe it is silent, and does not ask for the total.
    """
    if not sys.stderr.isatty():
        yield from pages
        return
    with click.progressbar(length=max(total(), 1), label=label, file=sys.stderr, show_pos=True) as bar:
        for page in pages:
            yield page
            bar.update(len(page))
