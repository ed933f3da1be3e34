"""Reads YAML with the line of every value, so that an error can name it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from trunkline.config import yaml_errors
from trunkline.errors import ConfigError

Path = tuple[str | int, ...]

#: The maximum of values in a document, counting an alias at each use: far more than the control plane accepts.
_MAX_VALUES = 1_000_000
#: The maximum of digits of a whole number.
_MAX_BITS = 63
#: Whole numbers that YAML 1.1 reads in base 8 or 60, and hardly a person does.
_MISREAD = re.compile("[-+]?(?:0[0-7_]*[1-7][0-7_]*|[0-9_]+(?::[0-9_]+)+)")


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values (decimal numbers as exact Decimals) and the line, counted from 1, of each path."""

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Returns the line of the value at `path`, or of its nearest enclosing value."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def load(text: str, name: str) -> Document:
    """Reads one YAML document; `name` is the file's, for messages.

    Raises:
        ConfigError: not YAML, or a key is given twice in one mapping.
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}:{line}: the control character #x{error.character:02x}: remove it") from error
    try:
        node = loader.get_single_node()
        lines: dict[Path, int] = {(): 1}
        value = _Reader(loader, name, lines).read(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {yaml_errors.said(error)}") from error
    except RecursionError:
        raise ConfigError(f"{name}: values are nested too deeply") from None
    finally:
        loader.dispose()
    return Document(value, lines)


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, name: str, lines: dict[Path, int]) -> None:
        self._loader = loader
        self._name = name
        self._lines = lines
        self._open: set[int] = set()
        self._left = _MAX_VALUES
        self._sizes: dict[int, int] = {}

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._take(1, node)
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise ConfigError(f"{self._name}:{node.start_mark.line + 1}: an alias refers to its own container")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has no fourth kind
            return self._mapping(node, path)
        finally:
            self._open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[Hashable, Any]:
        written = [(key.value, key.start_mark.line) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        seen: set[str] = set()
        for key, line in written:
            if key in seen:
                raise ConfigError(f"{self._name}:{line + 1}: {key} is given twice")
            seen.add(key)
        self._take(self._merged(node), node)
        self._loader.flatten_mapping(node)  # `<<: *anchor`
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._name}:{key_node.start_mark.line + 1}: a field's name must be text")
            result[key_node.value] = self.read(value_node, (*path, key_node.value))
            # The line of the key, not of its value: an unknown field is fixed there.
            self._lines[*path, key_node.value] = key_node.start_mark.line + 1
        return result

    def _take(self, values: int, node: yaml.Node) -> None:
        """Counted before they are made: a few lines of aliases can expand to more than any memory holds."""
        self._left -= values
        if self._left < 0:
            raise ConfigError(
                f"{self._name}:{node.start_mark.line + 1}: more than {_MAX_VALUES:,} values, "
                "including repeated ones"
            )

    def _merged(self, node: yaml.Node) -> int:
        """Returns how many fields a mapping has after merges, at most one more than accepted."""
        if not isinstance(node, yaml.MappingNode):
            return 0
        if id(node) not in self._sizes:
            self._sizes[id(node)] = 0  # for a mapping that merges itself
            merged = [
                each
                for key, value in node.value
                if key.tag == "tag:yaml.org,2002:merge"
                for each in (value.value if isinstance(value, yaml.SequenceNode) else [value])
            ]
            size = len(node.value) + sum(map(self._merged, merged))
            self._sizes[id(node)] = min(size, _MAX_VALUES + 1)
        return self._sizes[id(node)]

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:float":
            try:
                return Decimal(node.value.replace("_", ""))
            except ArithmeticError:  # .inf and .nan
                return node.value
        try:
            value = self._loader.construct_object(node)
        except (ValueError, OverflowError) as error:  # 2026-13-01; a number of thousands of digits
            raise self._invalid(node, str(error)) from error
        if node.tag == "tag:yaml.org,2002:int" and _MISREAD.fullmatch(node.value):
            raise self._invalid(node, f"YAML reads {node.value} as {value}; write {value} if that is meant")
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise self._invalid(node, "it is larger than any number here may be")
        return value

    def _invalid(self, node: yaml.Node, reason: str) -> ConfigError:
        kind = node.tag.rpartition(":")[2]
        return ConfigError(f"{self._name}:{node.start_mark.line + 1}: not a valid {kind}: {reason}")
