"""Loads trunkline.yaml into its model, and reports every mistake with its line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trunkline.config import bounded, positions
from trunkline.config.model import FileSpec
from trunkline.config.secrets import Secrets, UnresolvedSecrets
from trunkline.errors import ConfigError

#: The largest message that the control plane accepts.
MAX_BYTES = 16 * 1024 * 1024

_TYPES = {
    "string_type": "expected text; a number or true/false has to stand in quotes",
    "missing": "is required",
    "list_type": "expected a list",
    "model_type": "expected fields",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "decimal_type": "expected a number",
    "decimal_parsing": "expected a number",
    "int_type": "expected a whole number",
    "string_too_short": "is empty; expected text",
    "too_short": "is empty; expected at least one item",
    "greater_than_equal": "expected a number of {ge} or more",
    "less_than_equal": "expected a number of {le} or less",
    "literal_error": "expected {expected}",
}


def load(path: Path, environment: Mapping[str, str] = os.environ) -> FileSpec:
    """Like `read`, without the lines."""
    return read(path, environment)[0]


def read(path: Path, environment: Mapping[str, str] = os.environ) -> tuple[FileSpec, positions.Document]:
    """Reads and checks `path`, and resolves its secrets. Returns the model and the lines of its values.

    Raises:
        ConfigError: one line per mistake, `trunkline.yaml:14: routes[0].targets[1].wieght: unknown field; …`.
    """
    return _read(path, Secrets(environment, path.absolute().parent))


def _read(path: Path, secrets: Secrets) -> tuple[FileSpec, positions.Document]:
    return _parse(read_text(path), str(path), secrets)


def read_text(path: Path) -> str:
    """Returns the text of a configuration file. Raises ConfigError."""
    try:
        return bounded.read_text(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; split the file, or set objects one by one") from error


def read_without_secrets(path: Path) -> tuple[FileSpec, positions.Document]:
    """Like `read`, for callers that use no secret of the file: secrets are not looked up."""
    return _read(path, UnresolvedSecrets())


def parse(text: str, name: str, secrets: Secrets) -> FileSpec:
    """Like `load`, for text; messages use `name` for the file."""
    return _parse(text, name, secrets)[0]


def _parse(text: str, name: str, secrets: Secrets) -> tuple[FileSpec, positions.Document]:
    document = positions.load(text, name)
    if not isinstance(document.value, dict):
        raise ConfigError(f"{name}:1: expected the fields version, providers, routes and organisations")
    try:
        return FileSpec.model_validate(document.value, context=secrets), document
    except ValidationError as error:
        found = sorted({(document.line(each["loc"]), _say(each)) for each in error.errors(include_url=False)})
        raise ConfigError("\n".join(f"{name}:{line}: {said}" for line, said in found)) from error


def _say(error: ErrorDetails) -> str:
    """Formats `path: what is wrong`, without the value, which may be a secret."""
    path = _written(error["loc"])
    if error["type"] == "extra_forbidden":
        known = list(_fields(error["loc"][:-1]))
        field = str(error["loc"][-1])
        if field.isdecimal():  # `{input: 2,50}` is a field `input` and a field `50`
            return f"{path}: unknown field; a decimal number has a point, such as 2.50"
        close = difflib.get_close_matches(field, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{path}: unknown field; {hint}"
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}"
    text = _TYPES.get(error["type"])
    return f"{path}: {error['msg'] if text is None else text.format_map(error.get('ctx', {}))}"


def _written(location: tuple[int | str, ...]) -> str:
    """Writes a path, as `routes[0].model`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".") or "the file"


def _fields(location: tuple[int | str, ...]) -> Iterator[str]:
    """Returns the known names at a path."""
    model: type[BaseModel] = FileSpec
    for part in location:
        # Names chosen by the operator, for example of a service tier, are not fields.
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    yield from model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the model inside a type such as `list[Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
