"""Finds the smallest value that fits a JSON schema, as far as OpenAI's structured outputs use the language."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def example(schema: Schema, root: Schema | None = None) -> Any:
    """Returns a value that `schema` accepts; `root` holds the definitions that `$ref` names."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return example(schema[choice][0], root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    return _of_type(kind, schema, root)


def _of_type(kind: str, schema: Schema, root: Schema) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: example(properties.get(name, {}), root) for name in schema.get("required") or properties}
        case "array":
            return [example(schema.get("items", {}), root)] * max(1, int(schema.get("minItems", 1)))
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 1.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "text".ljust(int(schema.get("minLength", 0)), "t")


def _resolve(reference: str, root: Schema) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found[part] if part else found
    return dict(found)
