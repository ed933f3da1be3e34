"""The Admin service's methods for API keys."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from xds_server.accounts.caller import current
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.model import Role
from xds_server.admin import enums, parse, render, values
from xds_server.admin.calls import Changes, actor_of
from xds_server.admin.limits import limits as limits_of
from xds_server.admin.problems import Problems, checking, known
from xds_server.errors import NotFoundError
from xds_server.model import Key, Priority
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore, KeyRecord, accounts, writing
from xds_server.store.settings import EndingSecret, KeyChange, Rotation

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_MAX_GRACE = 366 * 86_400

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class KeyMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that deals with API keys."""

    _store: AsyncStore
    _changes: Changes

    @reporting
    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        """Returns the keys that the caller sees. Raises NotFoundError for an unknown organisation."""
        if request.organisation:
            names = {each.name for each in (await self._store.load()).organisations.values()}
            if request.organisation not in names:
                raise NotFoundError(
                    f"organisation: no organisation {values.quoted(request.organisation)}; {known(names)}"
                )
        records = await self._store.keys(
            organisation=request.organisation, include_revoked=request.include_revoked
        )
        owners, caller = await self._store.read(accounts.key_owners), current()
        seen = [each for each in records if caller.sees(each.organisation, each.key.id)]
        return pb.ListKeysResponse(keys=[_rendered(each, owners.get(each.key.id, "")) for each in seen])

    @reporting
    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        """Creates a key. One that a member creates is theirs. Only admins create keys that choose targets."""
        message = request.key
        if message.pins_targets and not current().is_admin:
            raise ForbiddenError("key.pins_targets: only an installation admin creates a key that chooses targets")
        with checking("key") as problems:
            settings = parse.key_settings(message, problems)
            _to_come(message.expires_at, problems)
            if request.value:
                values.key_value(request.value, Problems("value", problems.found))

        def work(transaction: Transaction) -> tuple[Key, str]:
            with checking("key") as problems:
                if message.organisation not in transaction.organisation_ids:
                    problems.at("organisation").note(
                        f"no organisation {values.quoted(message.organisation)}; "
                        f"{known(transaction.organisation_ids)}"
                    )
            key, value = writing.keys.create(
                transaction, message.organisation, message.name, settings, value=request.value
            )
            if owner is not None:
                writing.members.own(transaction, key.id, owner.id)
            return key, value

        owner = current().user if current().role_in(message.organisation) is Role.MEMBER else None
        committed = await self._changes.write(actor_of(context), work)
        key, value = committed.value
        return pb.CreateKeyResponse(
            key=render.key(key, message.organisation, owner=owner.email if owner is not None else ""),
            value=value,
            propagation=await self._changes.settled(committed.revision),
        )

    @reporting
    async def UpdateKey(self, request: pb.UpdateKeyRequest, context: Context) -> pb.UpdateKeyResponse:
        """Changes the fields that are given, and leaves the secrets alone."""
        with checking() as problems:
            if request.HasField("name"):
                values.name(request.name, problems.at("name"))
            models, limits = parse.patterns(request.models, problems), limits_of(request.limits, problems)
            if limits and request.clear_limits:
                problems.at("clear_limits").note("together with `limits`; accepted: one of them")
            priority = enums.read(Priority, request, "priority", Priority.NORMAL, problems)
            if request.HasField("expires_at"):
                values.expiry(request.expires_at, problems.at("expires_at"))
                _to_come(request.expires_at, problems)
            bounds = values.numbers(request, parse.KEY, problems)
        wanted = KeyChange(
            name=request.name if request.HasField("name") else None,
            models=models or None,
            limits=limits if limits or request.clear_limits else None,
            expires_at=request.expires_at if request.HasField("expires_at") else None,
            priority=priority if request.priority else None,
            end_grace=request.end_grace,
            **bounds,
        )

        def work(transaction: Transaction) -> KeyRecord:
            return writing.keys.change(transaction, request.id, wanted, expected=request.version)

        committed = await self._changes.write(actor_of(context), work)
        return pb.UpdateKeyResponse(
            key=_rendered(committed.value), propagation=await self._changes.settled(committed.revision)
        )

    @reporting
    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context) -> pb.RotateKeyResponse:
        """Replaces the newest secret. A second rotation within the grace period has to say which secret ends."""
        grace = request.grace_seconds if request.HasField("grace_seconds") else None
        with checking() as problems:
            values.number(grace or 0, 0, _MAX_GRACE, "seconds (0 = at once)", problems.at("grace_seconds"))
            ends = enums.optional(EndingSecret, request, "ends")
            if request.ends and ends is None:
                problems.at("ends").note(f"not a known value; accepted: {', '.join(EndingSecret)}")
            if request.value:
                values.key_value(request.value, problems.at("value"))
        rotation = Rotation(grace, ends, request.value)

        def work(transaction: Transaction) -> tuple[KeyRecord, str]:
            return writing.rotation.rotate(transaction, request.id, rotation, expected=request.version)

        committed = await self._changes.write(actor_of(context), work)
        record, value = committed.value
        return pb.RotateKeyResponse(
            key=_rendered(record),
            value=value,
            propagation=await self._changes.settled(committed.revision),
            warnings=_notes(record.key),
        )

    @reporting
    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:
        """Revokes a key for good. Its nodes pass to its organisation."""

        def work(transaction: Transaction) -> KeyRecord:
            return writing.keys.revoke(transaction, request.id)

        committed = await self._changes.write(actor_of(context), work)
        return pb.RevokeKeyResponse(
            key=_rendered(committed.value),
            propagation=await self._changes.settled(committed.revision),
        )


def _rendered(record: KeyRecord, owner: str = "") -> pb.Key:
    return render.key(record.key, record.organisation, record.revoked_at, owner=owner)


def _to_come(expires_at: int, problems: Problems) -> None:
    if 0 < expires_at <= time.time():
        problems.at("expires_at").note("in the past; accepted: a future time, or 0 = never")


def _notes(key: Key) -> list[str]:
    if 0 < key.expires_at <= time.time():
        return ["the key has expired, so that none of its secrets works: give it another expiry by `keys update`"]
    return []
