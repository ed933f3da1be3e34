"""Advice about text that is not YAML, in addition to the parser's message."""

from __future__ import annotations

import yaml

#: Parts of PyYAML's messages, and what usually helps. The first that fits counts.
_ADVICE = (
    ("found character '\\t'", "indent with spaces, not with tabs"),
    ("that cannot start any token", "put a text that begins with this character in quotes"),
    ("expected <block end>", "the line is indented otherwise than the fields or list items that it belongs to"),
    (
        "mapping values are not allowed here",
        "the line is indented too far, or has a text with `: ` in it, which has to stand in quotes",
    ),
    ("expected ',' or", "a bracket is open: close it, or put a comma before this"),
    ("expected the node content", "a bracket or a comma is missing, or there is one too many"),
    ("could not find expected ':'", "after a field's name come a colon and a blank"),
    ("unexpected end of stream", "a quotation mark is open: close it"),
    ("while scanning an alias", "put a text that begins with `*` in quotes"),
    ("found undefined alias", "put a text that begins with `*` in quotes"),
    ("unknown escape character", "write the text in single quotes, where `\\` means itself"),
    ("found another document", "only one document is read: remove the `---`"),
)


def said(error: yaml.MarkedYAMLError) -> str:
    """Returns the parser's message, followed by advice if there is any for this kind of error."""
    problem = str(error.problem or error.context)
    advice = next((advice for part, advice in _ADVICE if part in f"{problem} {error.context}"), "")
    return f"{problem}; {advice}" if advice else problem
