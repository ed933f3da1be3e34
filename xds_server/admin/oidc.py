"""The Admin service's methods for signing in through identity providers."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog
from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts.errors import ProviderError, SignInError
from xds_server.accounts.model import User
from xds_server.accounts.oidc import flow as flows
from xds_server.accounts.oidc.client import Metadata, OidcClient
from xds_server.accounts.oidc.flow import OidcFlow
from xds_server.accounts.settings import IdentityProvider
from xds_server.admin import people
from xds_server.admin.people import Context
from xds_server.admin.problems import checking
from xds_server.admin.sign_in import SignInMethods
from xds_server.errors import NotFoundError
from xds_server.quoting import quoted
from xds_server.rpc.reporting import reporting
from xds_server.store import writing
from xds_server.store.records import Actor

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

#: Metadata between the REST server and this service: what the browser keeps of a flow, and what it should keep.
FLOW, SET_FLOW = "x-trunkline-flow", "x-trunkline-set-flow"
_DEFAULT_SCOPES = ("profile", "email")
_MAX_LENGTH = 4_096
_log = structlog.get_logger(__name__)


class OidcMethods(SignInMethods):
    """Begins and finishes sign-ins through identity providers."""

    _oidc: OidcClient

    @reporting
    async def BeginOidc(self, request: pb.BeginOidcRequest, context: Context) -> pb.BeginOidcResponse:
        """Returns the URL at the provider. The state of the sign-in goes, sealed, into the browser's cookie."""
        with checking() as problems:
            if request.next and not flows.is_own_path(request.next):
                problems.at("next").note("accepted: a path of the console that begins with one slash")
        provider = await self._provider(request.provider)
        try:
            known = await self._oidc.metadata(provider)
        except ProviderError as error:
            _log.warning("oidc.provider_failed", provider=provider.name, reason=str(error))
            raise
        flow = OidcFlow.begin(provider.name, request.next)
        url = flows.url(
            known.authorization_endpoint,
            flow,
            client_id=provider.client_id,
            redirect_uri=await self._redirect_uri(provider),
            scopes=" ".join(dict.fromkeys(("openid", *(provider.scopes or _DEFAULT_SCOPES)))),
        )
        sealed = flows.seal(flow, await self._flow_key())
        context.set_trailing_metadata(((SET_FLOW, f"{sealed} {flows.SECONDS}"),))
        return pb.BeginOidcResponse(url=url)

    @reporting
    async def FinishOidc(self, request: pb.FinishOidcRequest, context: Context) -> pb.FinishOidcResponse:
        """Signs in the user whom the provider's answer identifies. A state is accepted once, on any replica."""
        with checking() as problems:
            for field in ("state", "code", "iss"):
                if len(getattr(request, field)) > _MAX_LENGTH:
                    problems.at(field).note(f"accepted: at most {_MAX_LENGTH} characters")
        provider = await self._provider(request.provider)
        sealed = dict(context.invocation_metadata() or ()).get(FLOW, "")
        flow = flows.unseal(str(sealed), await self._flow_key(), provider=provider.name, state=request.state)
        try:
            known = await self._oidc.metadata(provider)
            _check_issuer(request.iss, provider, known)
            await self._store.write(
                "oidc", lambda tx: writing.identities.use_state(tx, flow.state_hash, flows.SECONDS)
            )
            person = await self._oidc.person(
                provider,
                await self._store.client_secret(provider),
                flow,
                code=request.code,
                redirect_uri=await self._redirect_uri(provider),
                email_rule=people.is_email,
            )
        except (ProviderError, SignInError) as error:
            _log.warning("oidc.refused", provider=provider.name, reason=str(error))
            raise

        issuers = {each.issuer for each in (await self._store.load()).gateway.oidc}

        def work(transaction: Transaction) -> tuple[User, str]:
            user = writing.identities.user_of(transaction, person, provider, issuers)
            return user, self._begin(transaction, user)

        try:
            user, value = (await self._changes.write(Actor(f"oidc:{provider.name}"), work)).value
        except SignInError as error:
            _log.warning("oidc.refused", provider=provider.name, reason=str(error))
            raise
        answer = await self._signed_in(user, value, context, (SET_FLOW, " 0"))
        return pb.FinishOidcResponse(user=answer.user, expires_at=answer.expires_at, next=flow.next)

    async def _provider(self, name: str) -> IdentityProvider:
        """Returns the provider. Raises NotFoundError."""
        for each in (await self._store.load()).gateway.oidc:
            if each.name == name:
                return each
        raise NotFoundError(f"no identity provider {quoted(name)}")

    async def _redirect_uri(self, provider: IdentityProvider) -> str:
        """Returns a redirect URI of the provider's own, so that no provider can pass its answers off as
        another's.
        """
        return f"{await self.console()}/admin/v1/oidc/{provider.name}:callback"

    async def _flow_key(self) -> bytes:
        return await self._store.secret("oidc flows", lambda: os.urandom(32))


def _check_issuer(named: str, provider: IdentityProvider, known: Metadata) -> None:
    """Checks that the answer is from this provider (RFC 9207). Raises SignInError."""
    if named != provider.issuer and (named or known.names_itself):
        raise SignInError("this is the answer of another identity provider")
