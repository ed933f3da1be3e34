"""Imports LiteLLM's config.yaml as trunkline.yaml, with a finding for every setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trunkline.config import positions
from trunkline.config.loader import read_text
from trunkline.errors import ConfigError
from trunkline.importing.findings import ImportFindings
from trunkline.importing.litellm_models import LitellmModels
from trunkline.importing.litellm_settings import LitellmSettings


@dataclass(frozen=True, slots=True)
class Imported:
    """`text` is a trunkline.yaml. Its secrets are references, even if the other file contained them."""

    text: str
    findings: ImportFindings


def convert(path: Path, organisation: str) -> Imported:
    """Reads LiteLLM's `path`. Its keys and budgets become those of `organisation`.

    Raises:
        ConfigError: it cannot be read, or is not a mapping with a `model_list`.
    """
    config = positions.load(read_text(path), str(path)).value
    if not isinstance(config, dict) or not isinstance(config.get("model_list"), list):
        raise ConfigError(f"{path}: expected LiteLLM's configuration, a mapping with a `model_list`")
    findings = ImportFindings()
    document = _document(dict(config), organisation, findings)
    head = "# Made from LiteLLM's configuration by `trunkline import litellm`.\n"
    return Imported(head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=115), findings)


def _document(config: dict[str, Any], organisation: str, findings: ImportFindings) -> dict[str, Any]:
    models = LitellmModels(findings)
    for number, entry in enumerate(config.pop("model_list")):
        models.add(f"model_list[{number}]", entry)
    document: dict[str, Any] = {
        "version": 1,
        "providers": list(models.providers.values()),
        "routes": list(models.routes.values()),
    }
    variables = config.pop("environment_variables", None)
    if isinstance(variables, dict) and variables:
        names = ", ".join(map(str, variables))
        findings.manual("environment_variables", f"set them where the gateway runs: {names}")
    LitellmSettings(document, organisation, findings).apply(config)
    for name, value in config.items():
        if value:
            findings.unsupported(str(name), "not known here; it is left out")
    return document
