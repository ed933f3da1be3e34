"""Creates, replaces and removes providers."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from sqlmodel import select

from xds_server.errors import InUseError, InvalidFieldError
from xds_server.model import Provider
from xds_server.store import codec, views
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import OrganisationRow, ProviderRow, RouteRow, TargetRow
from xds_server.store.writing.management import removing, settled
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current, check_put

_PORTS = {"http": 80, "https": 443}


def put(
    transaction: Transaction,
    provider: Provider,
    *,
    expected: int | None,
    keep_credentials: bool = False,
    path: str = "provider",
) -> Provider:
    """Stores a provider and returns it. `expected` is as in versions.check_put.

    Raises:
        InvalidFieldError: beginning with `path`, the stored credentials would be sent to another host. Other
            changes leave the credentials where they were trusted: a path is on the same host, and a `ca_file` is
            put in place by the administrator of the gateway's machine.
        StaleWriteError, AlreadyExistsError, NotFoundError: see versions.check_put.
        ManagedError: see management.settled.
    """
    row = transaction.session.get(ProviderRow, provider.name)
    check_put(ObjectType.PROVIDER, provider.name, current=row.version if row else None, expected=expected)
    before = _decode(transaction, row) if row else None
    if keep_credentials and before is not None:
        provider = replace(provider, credentials=before.credentials)
    given = provider.credentials
    provider = settled(
        transaction,
        ObjectType.PROVIDER,
        provider.name,
        before,
        provider,
        states_credentials=not keep_credentials,
    )
    kept = keep_credentials or provider.credentials != given
    if (
        before is not None
        and kept
        and before.credentials
        and _origin(provider.base_url) != _origin(before.base_url)
    ):
        raise InvalidFieldError([f"{path}.base_url: {_moved(before.base_url)}"])
    if before is not None and replace(provider, version=before.version) == before:
        return before
    stored = replace(provider, version=transaction.revision)
    renewed = before is not None and before.credentials != stored.credentials
    transaction.session.merge(
        ProviderRow(
            **codec.PROVIDER.encode(stored),
            credentials=codec.seal_credentials(transaction.cipher, stored.name, stored.credentials),
        )
    )
    transaction.record(
        Action.CREATE if before is None else Action.UPDATE,
        ObjectType.PROVIDER,
        stored.name,
        views.provider(before) if before else None,
        views.provider(stored),
        organisation_id="",
        secrets_changed=["credentials"] if renewed else [],
    )
    return stored


def delete(transaction: Transaction, name: str, *, expected: int = 0) -> None:
    """Removes a provider. Raises NotFoundError, StaleWriteError, or InUseError naming the routes."""
    row = transaction.session.get(ProviderRow, name)
    check_current(ObjectType.PROVIDER, name, current=row.version if row else None, expected=expected)
    if row is None:
        return
    transaction.session.flush()
    users = transaction.session.exec(
        select(RouteRow.model, OrganisationRow.name)
        .join(TargetRow, TargetRow.route_id == RouteRow.id)  # type: ignore[arg-type]
        .join(OrganisationRow, OrganisationRow.id == RouteRow.organisation_id, isouter=True)  # type: ignore[arg-type]
        .where(TargetRow.provider == name)
        .distinct()
    ).all()
    if users:
        names = ", ".join(sorted(f"{owner}/{model}" if owner else model for model, owner in users))
        raise InUseError(f'provider "{name}" is used by these routes: {names}; take it out of their targets first')
    removing(transaction, ObjectType.PROVIDER, name, row.managed_by)
    transaction.session.delete(row)
    transaction.record(
        Action.DELETE,
        ObjectType.PROVIDER,
        name,
        views.provider(_decode(transaction, row)),
        None,
        organisation_id="",
    )


def _moves(before: Provider, after: Provider) -> bool:
    return _origin(before.base_url) != _origin(after.base_url)


def _origin(base_url: str) -> tuple[str, str | None, int]:
    """Returns scheme, host and port."""
    parts = urlsplit(base_url)
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _moved(before: str) -> str:
    parts = urlsplit(before)
    return (
        f"the stored credentials were given for {parts.scheme}://{parts.netloc} and would go to another host, "
        "port or scheme; give `credentials` again (--credential), or remove them (--clear-credentials; in a file "
        "`credentials: []`)"
    )


def _decode(transaction: Transaction, row: ProviderRow) -> Provider:
    credentials = codec.open_credentials(transaction.cipher, row.name, row.credentials)
    return codec.PROVIDER.decode_row(row, credentials=credentials)
