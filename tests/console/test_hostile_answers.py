"""Whatever the gateway may ever hold as a text, the console shows it as a text: every field of every answer, on
every page, in every dialog that a button opens. And no role is offered what it may not do.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.console.attacks.answers import ATTACK, TABLE, Answers, arm, press, shown, wrongs
from tests.console.conftest import Window
from tests.console.test_pages import PAGES
from xds_server.accounts import permissions
from xds_server.accounts.caller import Caller
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.model import Membership, Role, User

_IS_ADMIN, _ROLE = "trunkline.admin.v1.User.admin", "trunkline.admin.v1.Membership.role"
_IS_MACHINE = "trunkline.admin.v1.GetMeResponse.machine"
#: Texts of operators and of nodes that pages show, among many others.
SHOWN = {"trunkline.admin.v1.Key.name", "trunkline.admin.v1.Node.name", "trunkline.admin.v1.Route.model"}
MANY = 80


def views(of: Answers) -> list[str]:
    """Pages, with what stands in their addresses, which is an attack too."""
    text = quote(ATTACK.format(9_999), safe="")
    known = quote(of.attack("trunkline.admin.v1.Route.model"), safe="")
    return [
        *PAGES, "account", f"models/{known}", f"requests/{text}", "requests?show=finished", f"usage?by={text}",
        f"usage?by=DIMENSION_TAG&days={text}", f"audit?actor={text}", f"playground?model={text}", text,
        f"{text}?{text}={text}",
    ]  # fmt: skip


@pytest.mark.parametrize("failure", [False, True], ids=["answers", "errors"])
def test_no_text_of_the_gateway_becomes_an_element(window: Window, failure: bool) -> None:
    page = window.page
    answers = Answers({_IS_ADMIN: True, _IS_MACHINE: False, _ROLE: 4}, failure=failure)
    arm(page)
    page.route("**/admin/v1/**", answers.answer)
    window.expected.append("status of 400")
    seen: set[str] = set()
    for view in views(answers):
        window.open(view)
        said = "\n".join([shown(page), *press(page)])
        assert wrongs(page) == [], view
        texts = f"{said}\n{shown(page)}"
        seen |= {answers.texts[int(number)] for number in re.findall(r"<x-owned id=o(\d{1,3})>", texts)}
    assert failure or (seen >= SHOWN and len(seen) > MANY)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_offered_nothing_that_it_may_not_do(window: Window, role: Role) -> None:
    """The test presses every button on the role's pages and submits every form."""
    page = window.page
    number = list(Role).index(role) + 1
    answers = Answers({_IS_ADMIN: False, _IS_MACHINE: False, _ROLE: number}, text=lambda path: "acme")
    page.route("**/admin/v1/**", answers.answer)
    for view in [*PAGES, "account", "models/acme", "requests/acme"]:
        window.open(view)
        press(page)
    assert sorted(method for method in answers.asked if not _may_call(role, method)) == []
    assert {"GetKeysView", "GetUsageView"} <= answers.asked
    assert ("CreateKey" in answers.asked) == (role is not Role.VIEWER)


def _may_call(role: Role, method: str) -> bool:
    """Returns whether a role allows a call, of whatever organisation."""
    caller = Caller(user=User("usr_1", "x@example.org"), memberships=(Membership("org_1", "acme", role),))
    (binding,) = [each for each in TABLE.bindings if each.method.name == method]
    try:
        permissions.require(permissions.rule_of(method), caller, binding.request())
    except ForbiddenError:
        return False
    return True
