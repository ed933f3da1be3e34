"""The words of the protos' enumerations, as files, flags and JSON have them: `own-first` is STRATEGY_OWN_FIRST."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

V = TypeVar("V", bound=int)

_UNSPECIFIED = "UNSPECIFIED"


class Words(Mapping[str, V]):
    """Word → number, in the order of the numbers. UNSPECIFIED has no word.

    A word is the member's name without the enumeration's prefix, in small letters, with `separator` for `_`. With
    `only`, the other words are not known.
    """

    def __init__(
        self, enum: _EnumTypeWrapper[V], *, separator: str = "-", only: Collection[str] | None = None
    ) -> None:
        (unspecified,) = (name for name in enum.keys() if name.endswith(_UNSPECIFIED))  # noqa: SIM118 - no mapping
        prefix = unspecified.removesuffix(_UNSPECIFIED)
        self._numbers: dict[str, V] = {
            name.removeprefix(prefix).lower().replace("_", separator): number
            for name, number in enum.items()
            if name != unspecified
        }
        if only is not None:
            self._numbers = {word: number for word, number in self._numbers.items() if word in only}
        self._words: dict[int, str] = {number: word for word, number in self._numbers.items()}

    #: Each is equal to itself; annotations with one are hashed.
    __hash__ = object.__hash__

    def word(self, number: int, default: str = "") -> str:
        """Returns the word for `number`, or `default` for UNSPECIFIED and for a number of a later version."""
        return self._words.get(number, default)

    def __getitem__(self, word: str) -> V:
        return self._numbers[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
