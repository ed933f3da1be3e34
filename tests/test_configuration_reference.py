"""docs/configuration.md lists exactly the fields of trunkline.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from trunkline.config.model import FileSpec

REFERENCE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
#: Defaults that the model leaves to the control plane or to a stored value.
_IN_WORDS = {None, "", 0}


def models(of: type[BaseModel]) -> list[type[BaseModel]]:
    """Returns `of` and every model below it, each once."""
    seen: dict[type[BaseModel], None] = {}
    waiting = [of]
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen[each] = None
            for field in each.model_fields.values():
                waiting += _models_in(field.annotation)
    return list(seen)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def documented(name: str) -> dict[str, str]:
    """Returns the fields of a section with their defaults; the section is named like the class without `Spec`."""
    name = name.removesuffix("Spec")
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/configuration.md has no section {name}"
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", section[1], re.MULTILINE)
    return {field: default for field, default, _ in rows}


@pytest.mark.parametrize("model", models(FileSpec), ids=lambda model: model.__name__)
def test_every_field_is_documented(model: type[BaseModel]) -> None:
    assert set(documented(model.__name__)) == set(model.model_fields)


@pytest.mark.parametrize("model", models(FileSpec), ids=lambda model: model.__name__)
def test_required_fields_and_words_have_their_default(model: type[BaseModel]) -> None:
    shown = documented(model.__name__)
    for name, field in model.model_fields.items():
        assert (shown[name] == "required") == field.is_required(), f"{model.__name__}.{name}"
        if isinstance(field.default, str) and field.default not in _IN_WORDS:
            assert shown[name] == f"`{field.default}`", f"{model.__name__}.{name}"
