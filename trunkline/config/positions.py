"""YAML with the line of every value, so that a mistake can be pointed at."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from trunkline.errors import ConfigError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values (numbers with a point as Decimal, digit for digit) and the line, from 1, of each path."""

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Of the value at `path`, or of the nearest thing around it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def load(text: str, name: str) -> Document:
    """Reads one YAML document; `name` is the file's, for messages.

    Raises:
        ConfigError: not YAML, or a key is given twice in one mapping.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Path, int] = {(): 1}
        value = _Reader(loader, name, lines).read(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {error}") from error
    finally:
        loader.dispose()
    return Document(value, lines)


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, name: str, lines: dict[Path, int]) -> None:
        self._loader = loader
        self._name = name
        self._lines = lines
        self._open: set[int] = set()

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise ConfigError(f"{self._name}:{node.start_mark.line + 1}: an alias refers to what it is part of")
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
        self._loader.flatten_mapping(node)  # `<<: *anchor`
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._name}:{key_node.start_mark.line + 1}: a field's name must be text")
            result[key_node.value] = self.read(value_node, (*path, key_node.value))
            # Where the name stands, not its value: that is the line an unknown field has to be mended in.
            self._lines[*path, key_node.value] = key_node.start_mark.line + 1
        return result

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:float":
            try:
                return Decimal(node.value.replace("_", ""))
            except ArithmeticError:  # .inf and .nan
                return node.value
        return self._loader.construct_object(node)
