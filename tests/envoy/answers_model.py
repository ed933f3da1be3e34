"""A simple model of `envoy/module/{answers,scanner,facts}.c`: whole texts, parsed into trees, and paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

LONGEST_REPORT = 16 * 1024
LONGEST_EVENT = 1 << 20
LONGEST_RESPONSE_ID = 512

Path = tuple[str, ...]
ANY = "*"

_EVERYWHERE: dict[str, list[Path]] = {
    "usage": [("usage",), ("usageMetadata",), ("usage_metadata",), ("x_groq", "usage")],
    "timings": [("timings",)],
    "choice": [("choices", ANY, "usage")],
    "tier": [("service_tier",)],
    "seconds": [("duration",)],
    "size": [("size",)],
    "quality": [("quality",)],
    "text": [
        ("choices", ANY, "text"),
        *(
            ("choices", ANY, said, *path)
            for said in ("delta", "message")
            for path in (
                ("content",),
                ("reasoning_content",),
                ("reasoning",),
                ("refusal",),
                ("tool_calls", ANY, "function", "name"),
                ("tool_calls", ANY, "function", "arguments"),
                ("function_call", "name"),
                ("function_call", "arguments"),
                ("audio", "transcript"),
            )
        ),
    ],
}
_IN_EVENTS: dict[str, list[Path]] = {
    "usage": [("response", "usage")],
    "tier": [("response", "service_tier")],
    "start": [("message", "usage")],
    "text": [("delta",)],
    "id": [("response", "id")],
}
_IN_ANSWERS: dict[str, list[Path]] = {
    "id": [("id",)],
    "billed_units": [("meta", "billed_units")],
    "text": [
        ("text",),
        *(("output", ANY, name) for name in ("name", "arguments", "input")),
        *(("output", ANY, list_, ANY, name) for list_ in ("content", "summary") for name in ("text", "refusal")),
    ],
}

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
#: Members of events, beside choices, that a client would miss.
_SHOWN = (
    *("citations", "search_results", "images", "videos", "related_questions", "web_search"),
    "prompt_filter_results",
)


@dataclass(slots=True)
class Node:
    """A value. `path` has the keys that lead to it, and `ANY` for an element of a list."""

    path: Path
    kind: str
    raw: str = ""
    members: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yields the values in the order in which they end."""
        for member in self.members:
            yield from member.walk()
        yield self


def _tree(text: str) -> Node:
    tokens = list(_TOKEN.finditer(text))
    position = 0

    def value(path: Path) -> Node:
        nonlocal position
        token = tokens[position]
        position += 1
        first = token[0][0]
        if first not in "{[":
            return Node(path, "string" if first == '"' else "literal", token[0])
        node = Node(path, "object" if first == "{" else "list")
        while tokens[position][0] not in {"}", "]"}:
            if tokens[position][0] == ",":
                position += 1
            key = ANY
            if first == "{":
                key = json.loads(tokens[position][0])
                position += 2
            node.members.append(value((*path, key)))
        node.raw = text[token.start() : tokens[position].end()]
        position += 1
        return node

    return value(())


class Report(NamedTuple):
    text: str
    largest: int
    document: int


class Facts:
    """The facts known after some documents."""

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self.choices: dict[int, Report] = {}
        self.words: dict[str, str] = {}
        self.has_data = False
        self.items = self.text = self.deltas = self.documents = 0
        self.too_long = self.failed = False
        self.id = ""

    def take(self, text: bytes, *, event: bool) -> tuple[bool, bool]:
        """Returns whether the document has a report, and whether it has anything else that a client would miss."""
        self.documents += 1
        if not text.strip().startswith(b"{"):
            return False, False
        tree = _tree(text.decode())
        where = {name: [*_EVERYWHERE.get(name, [])] for name in {*_EVERYWHERE, *_IN_EVENTS, *_IN_ANSWERS}}
        for name, paths in (_IN_EVENTS if event else _IN_ANSWERS).items():
            where[name] += paths
        has_report = False
        for node in tree.walk():
            for name, paths in where.items():
                if node.path in paths:
                    has_report |= self._found(name, node)
            if node.path == ("choices", ANY) and node.kind == "object":
                self._choice(node)
        top = {member.path[0]: member for member in tree.members}
        self._count_items(tree, top, event=event)
        lists = [member for member in tree.members if member.path == ("choices",) and member.kind == "list"]
        named = ("error", *_SHOWN) if event else ("error",)
        others = [member for member in tree.members if member.path[0] in named]
        content = [
            each
            for each in others
            if (each.raw not in {"null", "false"} if each.kind in {"string", "literal"} else each.members)
        ]
        self.failed |= event and any(each.path == ("error",) for each in content)
        missed = any(each.members for each in lists) or bool(content)
        typed = event and any(member.path == ("type",) and member.kind == "string" for member in tree.members)
        return has_report, missed or typed

    def _found(self, name: str, node: Node) -> bool:
        if name == "id":
            self._name(node)
        elif name in {"tier", "seconds", "size", "quality"}:
            word = json.loads(node.raw) if node.kind == "string" else node.raw
            number = node.kind == "literal" and re.match(r"-?\d", node.raw)
            if (node.kind == "string" or number) and re.fullmatch(r"[0-9A-Za-z._:+-]{0,32}", word):
                self.words[name] = word
        elif name == "text":
            self.text += _letters(node) if node.path != ("text",) or node.kind == "string" else 0
        elif node.kind == "object":
            if len(node.raw) > LONGEST_REPORT:
                self.too_long = True
            elif name != "choice":
                self.reports[name] = self._later(self.reports.get(name), node.raw)
            return True
        return False

    def _name(self, node: Node) -> None:
        """Keeps the first id that can stand in a path unchanged."""
        if node.kind == "string" and not self.id:
            found = re.fullmatch(r"(?!\.)[0-9A-Za-z_.=:+~-]+", node.raw[1:-1])
            self.id = found[0] if found and len(found[0]) <= LONGEST_RESPONSE_ID else ""

    def _choice(self, node: Node) -> None:
        found = [member for member in node.members if member.path[-1] == "usage" and member.kind == "object"]
        if not found or len(found[-1].raw) > LONGEST_REPORT:
            return
        indexes = [member.raw for member in node.members if member.path[-1] == "index" and member.raw.isdigit()]
        index = int(indexes[-1]) if indexes else 0
        if index in self.choices or len(self.choices) < 16:
            self.choices[index] = self._later(self.choices.get(index), found[-1].raw)

    def _later(self, known: Report | None, text: str) -> Report:
        bare = _STRING.sub('"', text)
        numbers = [_compared(each) for each in re.findall(r"\.\d*|\d+", bare) if not each.startswith(".")]
        report = Report(text, max(numbers, default=0), self.documents)
        if known is None or known.document == self.documents or report.largest >= known.largest:
            return report
        return known

    def _count_items(self, tree: Node, top: dict[str, Node], *, event: bool) -> None:
        if not event:
            lists = [each for each in tree.members if each.path == ("data",) and each.kind == "list"]
            self.items += sum(len(each.members) for each in lists)
            self.has_data = bool(lists)
        elif any(each.path == ("b64_json",) and each.kind == "string" for each in tree.members):
            kinds = [each for each in tree.members if each.path == ("type",) and each.kind == "string"]
            self.items += bool(kinds) and re.search(r".\.completed\Z", json.loads(kinds[-1].raw)) is not None

    def written(self) -> bytes:
        """Returns the facts as in the access log."""
        usage = self.reports.get("usage")
        pieces = [f'"usage":{usage.text if usage else "null"}']
        has_usage = bool(usage or self.choices)
        pieces += [
            f'"{name}":{self.reports[name].text}'
            for name in ("start", "billed_units", "timings")
            if name in self.reports and not (name == "timings" and has_usage)
        ]
        if self.choices and not usage:
            pieces.append(f'"choices":[{",".join(report.text for report in self.choices.values())}]')
        pieces += [
            f'"{name}":"{self.words[name]}"'
            for name in ("tier", "seconds", "size", "quality")
            if self.words.get(name)
        ]
        counts = {"items": self.items, "text": self.text, "deltas": self.deltas}
        pieces += [
            f'"{name}":{count}' for name, count in counts.items() if count or (name == "items" and self.has_data)
        ]
        pieces += ['"failed":true'] if self.failed else []
        pieces += ['"too_long":true'] if self.too_long else []
        return b"" if pieces == ['"usage":null'] else ("{" + ",".join(pieces) + "}").encode()


def _letters(node: Node) -> int:
    """Returns the bytes of all strings, keys included, as text; an escape of four digits counts three."""
    total = 0
    for found in _STRING.finditer(node.raw):
        text = re.sub(r"\\u[0-9a-fA-F]{4}", "...", found[1])
        total += len(re.sub(r"\\.", ".", text).encode())
    return total


def plain(text: bytes) -> tuple[bytes, str]:
    """Returns the facts of a whole answer as in the access log, and the id of the response that it creates."""
    facts = Facts()
    facts.take(text, event=False)
    return facts.written(), facts.id


class Stream(NamedTuple):
    """A stream as the access log reports it, and as its client gets it."""

    events: int
    event_bytes: int
    facts: bytes
    client: bytes
    id: str = ""


def stream(text: bytes, *, asked: bool, ends: bool) -> Stream:
    """Reads a stream. `asked` says that the gateway requested usage and the client did not; `ends` that the stream
    is complete.
    """
    facts = Facts()
    count, client, events = 0, b"", _events(text)
    unfinished = b""
    for event, whole in events:
        data = _data(event)
        has_report = missed = False
        before = facts.text
        if data is not None and (whole or ends):
            has_report, missed = facts.take(data, event=True)
        facts.deltas += whole and facts.text > before
        done = data is not None and data.startswith(b"[DONE]")
        long = len(event) > LONGEST_EVENT
        hidden = has_report and not missed and not long
        if not asked or ((whole or ends or done or long) and not hidden):
            client += event
        count += whole and data is not None
        if not whole and not done:
            unfinished = event
    return Stream(count, len(text) - len(unfinished), facts.written(), client, facts.id)


def _data(event: bytes) -> bytes | None:
    """Returns the joined lines of data; None if there are none."""
    lines = [line.rstrip(b"\r\n") for line in _LINE.findall(event)]
    values = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(values) if values else None


def _events(text: bytes) -> list[tuple[bytes, bool]]:
    """Returns each event up to and with its empty line, and whether that line is there."""
    events, event = [], b""
    for line in _LINE.findall(text):
        event += line
        if line in {b"\n", b"\r\n", b"\r"}:
            events.append((event, True))
            event = b""
    return [*events, (event, False)] if event else events


def _compared(digits: str) -> int:
    """Returns the number by which reports are compared: from 2^64 / 100 on, further digits do not count."""
    number = 0
    for digit in digits:
        number = number * 10 + int(digit) if number < ((1 << 64) - 1) // 100 else number
    return number
