"""Changes sections of the gateway whose entries have names: identity providers and token issuers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes, names
from trunkline.client import Control
from trunkline.config import export
from trunkline.text import say

#: A section's name, and what its entries are called.
Section = Literal["oidc", "jwt"]
_KINDS: dict[Section, str] = {"oidc": "identity provider", "jwt": "token issuer"}


def put(control: Control, section: Section, name: str, fill: Callable[[Any], None]) -> None:
    """Adds the entry `name`, or changes it: `fill` sets its fields. Prints the difference and who runs it."""
    with control.connect() as api:
        stored = api.GetGateway(admin.GetGatewayRequest()).gateway
        wanted = changes.copied(stored)
        entries = getattr(wanted, section)
        found = next((each for each in entries if each.name == name), None)
        fill(found if found is not None else entries.add(name=name))
        answer = api.PutGateway(admin.PutGatewayRequest(gateway=wanted))
    say(f"{'+' if found is None else '~'} {_KINDS[section]} {name}")
    changes.say_between(export.gateway(stored), export.gateway(wanted))
    changes.report(answer.propagation)


def remove(control: Control, section: Section, name: str) -> None:
    """Removes the entry `name`. Raises TrunklineError with what was probably meant if there is none."""
    with control.connect() as api:
        wanted = changes.copied(api.GetGateway(admin.GetGatewayRequest()).gateway)
        entries = getattr(wanted, section)
        present = [each.name for each in entries]
        if name not in present:
            raise names.unknown(_KINDS[section], name, present)
        del entries[present.index(name)]
        answer = api.PutGateway(admin.PutGatewayRequest(gateway=wanted))
    say(f"- {_KINDS[section]} {name}")
    changes.report(answer.propagation)
