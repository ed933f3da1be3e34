"""Finds the organisations that reports name. Usage outlives them, so a deleted one can be named too."""

from __future__ import annotations

from xds_server.admin.problems import known
from xds_server.errors import NotFoundError
from xds_server.ledger.reader import LedgerReader
from xds_server.quoting import quoted


async def organisation_id(ledger: LedgerReader, name: str, field: str) -> str:
    """Returns the id of the organisation, and an empty text for an empty name. A deleted organisation can only be
    named by its id.

    Raises:
        NotFoundError: there is none; `field` says where it was named.
    """
    if not name:
        return ""
    names = await ledger.organisation_names()
    for id_, known_name in names.items():
        if name == known_name:
            return id_
    if name.startswith("org_"):
        return name
    raise NotFoundError(
        f"{field}: no organisation {quoted(name)} (name a deleted one by its id, org_…); {known(names.values())}"
    )
