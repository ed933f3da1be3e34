"""Answers of the gateway with every field of the protos, in which every text may be an attack; and what presses
every button of the page that shows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor
from playwright.sync_api import Page, Route

from xds_server.rest import server
from xds_server.rest.bindings import Table
from xds_server.rest.server import SERVICES

#: Each in the place of a text: for the inside of an element, of an attribute in either quote, and of a URL.
#: `{}` is the number of the text.
ATTACK = (
    "javascript:owned()//'\"`></script><x-owned id=o{0}><img src=x onerror=owned()>"
    "<svg onload=owned()>${{owned()}}"
)
#: What no page may have: an element, a handler, or an address that an attack has made.
INJECTED = (
    "x-owned, img[src='x'], [onerror], [onload], [href^='javascript:' i], [src^='javascript:' i], "
    "[action^='javascript:' i], [formaction], iframe, object, embed, base, form[action*='owned']"
)
#: Presses each button of the page, and sends the form of the dialog that it opens. Returns what dialogs said.
_PRESS = """async () => {
    const said = [], hash = location.hash;
    const settled = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 10)));
    const buttons = () => [...document.querySelectorAll("main button:not([disabled]), main summary")];
    for (let index = 0; index < Math.min(buttons().length, 60); index += 1) {
        buttons()[index]?.click();
        await settled();
        for (const dialog of document.querySelectorAll("dialog[open]")) {
            const fields = [...dialog.querySelectorAll("input, select, textarea")];
            said.push(dialog.innerText, ...fields.map((each) => each.value));
            const button = dialog.querySelector("form button:not([type='button'])");
            button?.click();
            await settled();
            for (const open of document.querySelectorAll("dialog[open]")) {
                said.push(open.innerText);
                open.close();
            }
            await settled();
        }
        if (location.hash !== hash) {
            location.hash = hash;
            await settled();
        }
    }
    return said;
}"""
_TEXTS = """() => [document.body.innerText, document.title, ...[...document.querySelectorAll("*")].flatMap(
    (each) => [each.value, each.title, each.ariaLabel, each.tagName === "OPTION" ? each.textContent : ""])]"""
TABLE = Table(SERVICES)
_REFERENCE = Path(server.__file__).with_name("openapi.json")
_NUMBERS = {
    FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
    FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    FieldDescriptor.CPPTYPE_BOOL: True,
}


def arm(page: Page) -> None:
    """Has the page note scripts that ran and what its policy forbade, from its first line on."""
    page.add_init_script("""
        window.wrongs = [];
        window.owned = () => window.wrongs.push("a script ran");
        for (const name of ["alert", "confirm", "prompt", "open"]) window[name] = () => window.wrongs.push(name);
        addEventListener("securitypolicyviolation", (event) =>
            window.wrongs.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    """)


def wrongs(page: Page) -> list[str]:
    """Returns what has gone wrong since the page was loaded, with elements that texts have become."""
    found: list[str] = page.evaluate(
        "(injected) => [...wrongs, ...[...document.querySelectorAll(injected)].map(each => each.outerHTML)]",
        INJECTED,
    )
    return found


def press(page: Page) -> list[str]:
    """Presses everything in the view, and returns what dialogs showed."""
    said: list[str] = page.evaluate(_PRESS)
    return said


def shown(page: Page) -> str:
    """Returns all that people and screen readers get of the page."""
    return "\n".join(each for each in page.evaluate(_TEXTS) if isinstance(each, str))


@dataclass
class Answers:
    """Answers every call of the Admin API with every field set. `asked` are the calls' methods.

    `kept` are fields by full name that keep a value; `text` gives those of the others that are texts, which are
    attacks without it. `failure`: every call fails, with an attack as its message.
    """

    kept: dict[str, Any]
    text: Callable[[str], str] | None = None
    failure: bool = False
    #: The full names of the fields by their attacks' numbers.
    texts: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def answer(self, route: Route) -> None:
        path = route.request.url.partition("//")[2].partition("/")[2].partition("?")[0]
        found = TABLE.find(f"/{path}")
        binding = found.bindings.get(route.request.method) if found else None
        if binding is None:  # the API's reference, which needs a session
            route.fulfill(status=200, path=_REFERENCE)
            return
        self.asked.add(binding.method.name)
        if self.failure and binding.method.name != "GetDoor":
            error = {
                "message": self.attack(f"{binding.method.name}: error"),
                "code": "invalid_argument",
                "param": None,
            }
            route.fulfill(status=400, json={"error": error})
            return
        message = self.message(binding.method.output_type)
        text = json_format.MessageToJson(message, preserving_proto_field_name=True)
        route.fulfill(status=200, content_type="application/json", body=text)

    def attack(self, path: str) -> str:
        """Returns the text of a field."""
        if self.text is not None:
            return self.text(path)
        if path not in self.texts:
            self.texts.append(path)
        return ATTACK.format(self.texts.index(path))

    def message(self, descriptor: Any, above: tuple[str, ...] = ()) -> Any:
        """Returns a message with every field; of a type that has itself inside, once."""
        message = message_factory.GetMessageClass(descriptor)()
        above = (*above, descriptor.full_name)
        for each in descriptor.fields:
            if each.message_type is None:
                values = list(self._values(each, above))
                if each.is_repeated:
                    getattr(message, each.name).extend(values)
                else:
                    setattr(message, each.name, values[0])
            elif each.message_type.full_name not in above and not each.message_type.GetOptions().map_entry:
                inner = self.message(each.message_type, above)
                place = getattr(message, each.name)
                if each.is_repeated:
                    place.add().CopyFrom(inner)
                else:
                    place.CopyFrom(inner)
            elif each.message_type.GetOptions().map_entry:
                getattr(message, each.name)["key"] = self.attack(f"{descriptor.full_name}.{each.name}")
        return message

    def _values(self, each: Any, above: tuple[str, ...]) -> Iterator[Any]:
        if each.full_name in self.kept:
            yield self.kept[each.full_name]
        elif each.enum_type is not None:
            yield from (value.number for value in each.enum_type.values[1:3])
        elif each.type == FieldDescriptor.TYPE_STRING:
            yield self.attack(f"{each.full_name}")
        elif each.type == FieldDescriptor.TYPE_BYTES:
            yield b"x"
        elif each.cpp_type in _NUMBERS:
            yield _NUMBERS[each.cpp_type]
        else:
            yield _number(each.name)


def _number(name: str) -> int:
    """Returns a number that fits the field's unit, by its name."""
    now = int(time.time())
    if name.endswith("_us"):
        return now * 1_000_000
    return now if name.endswith(("_at", "since", "until", "_seen", "time")) else 3
