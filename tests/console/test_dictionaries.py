"""Both languages have the same texts, and every text that a page uses exists."""

from __future__ import annotations

import json
import re

import pytest

from tests.console.tools import CONSOLE
from xds_server.reasons import TEXTS
from xds_server.store.records import Action, ObjectType

LANGUAGES = {"en": {"one", "other"}, "ru": {"one", "few", "many", "other"}}
_ENTRY = re.compile(r'^  "([^"]+)": (.+),$', re.MULTILINE)


def _texts(language: str) -> dict[str, dict[str, str]]:
    """Returns the forms of each text, by key; a text without forms has one, ``."""
    source = "".join(file.read_text() for file in sorted((CONSOLE / "src/i18n" / language).glob("*.js")))
    found: dict[str, dict[str, str]] = {}
    for key, value in _ENTRY.findall(source):
        assert key not in found, key
        forms = json.loads(re.sub(r'(?<=[{,] )(\w+): (?=")', r'"\1": ', value))
        found[key] = {"": forms} if isinstance(forms, str) else forms
    assert len(found) == len(re.findall(r'^  "', source, re.MULTILINE))
    return found


def _names(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_have_the_same_texts() -> None:
    english, russian = _texts("en"), _texts("ru")
    assert english.keys() == russian.keys()
    for key, forms in english.items():
        names = {name for text in forms.values() for name in _names(text)} - {"n"}
        for text in [*forms.values(), *russian[key].values()]:
            assert text.strip(), key
            assert _names(text) - {"n"} == names, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_plural_has_its_forms(language: str) -> None:
    for key, forms in _texts(language).items():
        assert set(forms) in ({""}, LANGUAGES[language]), key


def test_every_text_that_is_asked_for_is_there() -> None:
    known, used = _texts("en").keys(), set()
    sources = [file.read_text() for file in (CONSOLE / "src").rglob("*.js") if "i18n" not in file.parts]
    for source in sources:
        for key in re.findall(r"""\b(?:t|rich|has|word)\(\s*"([^"]+)\"""", source):
            assert key in known, key
            used.add(key)
        for begin, end in re.findall(r"""\b(?:t|rich|has|word)\(\s*`([^`$]*)\$\{[^}]*\}([^`]*)`""", source):
            assert "." in begin, f"name the texts' group before the first value: {begin}${{…}}{end}"
            matching = {key for key in known if key.startswith(begin) and ("$" in end or key.endswith(end))}
            assert matching, begin
            used |= matching
        # Keys that are built before they are asked for.
        for begin in re.findall(r"`([a-z_]+(?:\.[a-z_]+)*\.)\$\{", source):
            used |= {key for key in known if key.startswith(begin)}
        used |= {key for key in known if f'"{key}"' in source}
    assert known - used == set()


def test_every_reason_that_the_gateway_gives_has_its_words() -> None:
    """The English texts equal those on the command line."""
    said = {key: forms[""] for key, forms in _texts("en").items() if key.startswith("reason.")}
    expected = {}
    for code, text in TEXTS.items():
        parts = text.split("{}")
        expected[f"reason.{code}"] = "".join(f"{part}{{{n}}}" for n, part in enumerate(parts[:-1])) + parts[-1]
    assert said == expected


def test_every_word_of_the_audit_log_has_its_own() -> None:
    known = _texts("ru").keys()
    assert {f"action.{each}" for each in Action} | {f"object.{each}" for each in ObjectType} <= known


@pytest.mark.parametrize("name", ["gateway", "people", "reasons", "settings", "watching"])
def test_russian_is_russian(name: str) -> None:
    """Every text that contains words has a Cyrillic one, unless it is a name."""
    source = (CONSOLE / "src/i18n/ru" / f"{name}.js").read_text()
    for key, value in _ENTRY.findall(source):
        words = re.sub(r"\{\w+\}", "", value)
        is_name = not re.search(r"[a-z]{2} [a-z]{2}", words)
        assert is_name or re.search(r"[\u0430-\u044f]", words), key


def _russian_of(name: str) -> set[str]:
    """Returns the keys of a table in the reference's Russian."""
    source = (CONSOLE / "src/i18n/reference/ru.js").read_text()
    table = source.partition(f"export const {name} = {{\n")[2].partition("\n};")[0]
    found = re.findall(r'^  (?:"([^"]+)"|(\w+)): (.+),$', table, re.MULTILINE)
    for quoted, plain, value in found:
        assert re.search(r"[\u0430-\u044f]", value), quoted or plain
    return {quoted or plain for quoted, plain, _ in found}


def test_the_reference_says_every_call_header_and_error_in_russian() -> None:
    document = json.loads((CONSOLE.parent / "xds_server/rest/openapi.json").read_text())
    operations = [each for verbs in document["paths"].values() for each in verbs.values()]
    assert {each["operationId"] for each in operations} <= _russian_of("OPERATIONS")
    needs = {each["description"].rpartition("Needs: ")[2].rstrip(".") for each in operations}
    assert needs <= _russian_of("NEEDS")
    tables = (CONSOLE / "src/generated/clients.js").read_text().partition("CLIENTS = ")[2].rstrip().rstrip(";")
    clients = json.loads(tables)
    assert {row[0] for row in clients["headers"]} <= _russian_of("HEADERS")
    assert {row[0].strip("`") for row in clients["errors"]} <= _russian_of("ERRORS")


def test_the_reference_says_every_field_in_russian() -> None:
    schemas = json.loads((CONSOLE.parent / "xds_server/rest/openapi.json").read_text())["components"]["schemas"]
    said: dict[str, str] = {}
    for file in sorted((CONSOLE / "src/i18n/reference/ru_fields").glob("*.js")):
        assert f"./ru_fields/{file.name}" in (CONSOLE / "src/i18n/reference/ru_fields.js").read_text()
        said |= {key: json.loads(value) for key, value in _ENTRY.findall(file.read_text())}
    descriptions = {
        f"{message}.{name}": field["description"]
        for message, schema in schemas.items()
        for name, field in schema.get("properties", {}).items()
        if field.get("description")
    }
    assert [f"{key}: {text}" for key, text in descriptions.items() if key not in said] == []
    assert said.keys() <= descriptions.keys()
    for key, text in said.items():
        assert re.search(r"[\u0430-\u044f]", text), key
