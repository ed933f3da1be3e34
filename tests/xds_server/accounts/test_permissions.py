"""The only table of roles is complete, and enforced."""

from __future__ import annotations

from xds_server.accounts.permissions import RULES, RequiredRole, rule_of
from xds_server.rest import fields
from xds_server.rest.server import SERVICES

METHODS = {each.name: each for service in SERVICES for each in service.methods}


def test_every_method_has_an_entry_and_every_entry_a_method() -> None:
    missing, gone = set(METHODS) - set(RULES), set(RULES) - set(METHODS)
    assert not missing, f"xds_server/accounts/permissions.py: say who may call {', '.join(sorted(missing))}"
    assert not gone, f"xds_server/accounts/permissions.py: there is no {', '.join(sorted(gone))}"


def test_what_is_not_in_the_table_needs_an_admin() -> None:
    assert rule_of("/trunkline.admin.v1.Admin/OfTheFuture").need is RequiredRole.ADMIN


def test_the_table_names_fields_that_there_are() -> None:
    for name, rule in RULES.items():
        request = METHODS[name].input_type
        for path in (rule.organisation, rule.key, rule.node, *sorted(rule.members or ())):
            assert not path or fields.canonical(request, path) == path, f"{name}: no field {path}"
