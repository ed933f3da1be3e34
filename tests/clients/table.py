"""The table in docs/clients.md, made of what a run gave."""

from __future__ import annotations

from typing import Any

from scripts.locked_environment import ROOT
from tests.clients.client import CLIENTS, EXPECTED, FAILURES, Client
from tests.clients.running import Results

DOCUMENT = ROOT / "docs" / "clients.md"
BEGIN = "<!-- The run of tests/clients made this table; `make clients` renews it. -->\n"
END = "<!-- End of the table. -->\n"
ROWS = {
    "models": "list of models",
    "plain": "chat",
    "stream": "chat, streamed, with usage",
    "tools": "tool call and its answer",
    "tools_streamed": "tool call, streamed",
    "structured": "JSON by a schema",
    "vision": "image as input",
    "embeddings": "embeddings",
    "responses": "responses, plain and streamed",
    "responses_tools": "tool call in responses",
    "websocket": "WebSocket refused, falls back",
    "images": "image generation",
    "audio": "transcription and speech",
    "limited": "429: waits, tries again",
    "failover": "the first provider fails",
    "bad_key": "a wrong key",
    "unknown_model": "an unknown model",
}


def rendered(results: Results) -> str:
    """The table in Markdown: a column for each client, a row for each case."""
    assert ROWS.keys() == EXPECTED.keys(), "each case has a row"
    heads = [f"{client.name} {client.version}".strip() for client in CLIENTS]
    lines = [["", *heads], ["---"] * (len(CLIENTS) + 1)]
    lines += [
        [title, *(_cell(client, case, results[client.name]) for client in CLIENTS)] for case, title in ROWS.items()
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written() -> str:
    """The table as it stands in the document."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]


def renew(results: Results) -> bool:
    """Puts the table of `results` into the document. Returns whether that changed it."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    new = before + BEGIN + rendered(results) + END + rest.partition(END)[2]
    DOCUMENT.write_text(new)
    return new != text


def _cell(client: Client, case: str, results: dict[str, Any]) -> str:
    if case not in results:
        return ""
    if results[case] != client.expected.get(case):
        return "**fails**"
    if case not in FAILURES:
        return "yes"
    told = str(results[case][0])
    return told if " " in told else f"`{told}`"
