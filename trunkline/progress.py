"""Shows the progress of long work to a person at a terminal, only on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

import click

T = TypeVar("T", bound=Sized)


def shown(pages: Iterable[T], total: Callable[[], int], label: str) -> Iterator[T]:
    """Yields `pages`, and shows how many of `total` items they contained so far.

    If stderr is a file or a pipe, it is silent and does not query the total.
    """
    if not sys.stderr.isatty():
        yield from pages
        return
    with click.progressbar(length=max(total(), 1), label=label, file=sys.stderr, show_pos=True) as bar:
        for page in pages:
            yield page
            bar.update(len(page))
