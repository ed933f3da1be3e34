"""The roles that each call needs: one table for gRPC, REST and console alike.

A call that is not in the table needs an admin. What a caller sees of an answer is filtered by `Caller` where the
answer is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import Message

from xds_server.accounts.caller import Caller
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.model import Role
from xds_server.errors import NotFoundError, UnauthenticatedError
from xds_server.quoting import quoted


class RequiredRole(Enum):
    """The permission that a call needs, in ascending order."""

    ANYBODY = "anybody"
    SIGNED_IN = "a user or the admin token"
    #: A role in an organisation; the answer holds what the role may see.
    READ = "viewer, member, operator or owner"
    #: Like OPERATE, and for members if the object is their own.
    OWN = "member (of what is their own), operator or owner"
    OPERATE = "operator or owner"
    MANAGE = "owner"
    ADMIN = "installation admin"


_ROLES: Mapping[RequiredRole, frozenset[Role]] = {
    RequiredRole.READ: frozenset(Role),
    RequiredRole.OWN: frozenset({Role.MEMBER, Role.OPERATOR, Role.OWNER}),
    RequiredRole.OPERATE: frozenset({Role.OPERATOR, Role.OWNER}),
    RequiredRole.MANAGE: frozenset({Role.OWNER}),
    RequiredRole.ADMIN: frozenset(),
}


@dataclass(frozen=True, slots=True)
class CallRule:
    """The rule for a call. `organisation`, `key` and `node` are paths of the request's fields that identify its
    object.

    `members` are the fields that a member may set, if not all.
    """

    need: RequiredRole
    organisation: str = ""
    key: str = ""
    node: str = ""
    members: frozenset[str] | None = None


def _own(*, members: str, organisation: str = "", key: str = "", node: str = "") -> CallRule:
    return CallRule(RequiredRole.OWN, organisation, key, node, frozenset(members.split()))


_USAGE = CallRule(RequiredRole.READ, organisation="filter.organisation")

#: Rules by the method's name.
RULES: Mapping[str, CallRule] = {
    "GetSignInOptions": CallRule(RequiredRole.ANYBODY),
    "RedeemSetupLink": CallRule(RequiredRole.ANYBODY),
    "SignIn": CallRule(RequiredRole.ANYBODY),
    "BeginOidc": CallRule(RequiredRole.ANYBODY),
    "FinishOidc": CallRule(RequiredRole.ANYBODY),
    "SignOut": CallRule(RequiredRole.SIGNED_IN),
    "GetMe": CallRule(RequiredRole.SIGNED_IN),
    "ChangePassword": CallRule(RequiredRole.SIGNED_IN),
    "ListTokens": CallRule(RequiredRole.SIGNED_IN),
    "CreateToken": CallRule(RequiredRole.SIGNED_IN),
    "RevokeToken": CallRule(RequiredRole.SIGNED_IN),
    "ShowDeviceLogin": CallRule(RequiredRole.SIGNED_IN),
    "DecideDeviceLogin": CallRule(RequiredRole.SIGNED_IN),
    # Shows what the caller's own link or code opens.
    "ShowLink": CallRule(RequiredRole.ANYBODY),
    "AcceptInvitation": CallRule(RequiredRole.ANYBODY),
    "RedeemReset": CallRule(RequiredRole.ANYBODY),
    "BeginDeviceLogin": CallRule(RequiredRole.ANYBODY),
    "PollDeviceLogin": CallRule(RequiredRole.ANYBODY),
    # Memberships.
    "ListUsers": CallRule(RequiredRole.MANAGE, organisation="organisation"),
    "InviteUser": CallRule(RequiredRole.MANAGE, organisation="organisation"),
    "ListInvitations": CallRule(RequiredRole.MANAGE, organisation="organisation"),
    "RevokeInvitation": CallRule(RequiredRole.MANAGE),
    "ListAuditEvents": CallRule(RequiredRole.MANAGE, organisation="organisation"),
    "PutMember": CallRule(RequiredRole.MANAGE, organisation="organisation"),
    "RemoveMember": CallRule(RequiredRole.MANAGE, organisation="organisation"),
    # Objects of an organisation.
    "ListOrganisations": CallRule(RequiredRole.READ),
    "ListRoutes": CallRule(RequiredRole.READ),
    "ExplainRoute": CallRule(RequiredRole.READ, organisation="organisation"),
    "ListKeys": CallRule(RequiredRole.READ, organisation="organisation"),
    "CreateKey": _own(
        organisation="key.organisation", members="key.organisation key.name key.models key.expires_at"
    ),
    "UpdateKey": _own(key="id", members="id version name expires_at end_grace"),
    "RotateKey": _own(key="id", members="id version grace_seconds ends"),
    "RevokeKey": _own(key="id", members="id"),
    "ListNodes": CallRule(RequiredRole.READ, organisation="organisation"),
    "InviteNode": _own(
        organisation="organisation",
        key="owner_key",
        members="organisation owner_key visibility ttl_seconds require_approval name",
    ),
    "UpdateNode": _own(node="node_id", members="node_id version name visibility drained"),
    "RemoveNode": _own(node="node_id", members="node_id version"),
    "ReportContributions": CallRule(RequiredRole.READ, organisation="organisation"),
    "ReportUsage": _USAGE,
    "TopRequests": _USAGE,
    "CompareTargets": _USAGE,
    "ExportUsage": _USAGE,
    # Views of the console: each consists of the calls above, whose rules apply inside it as well.
    "GetDoor": CallRule(RequiredRole.ANYBODY),
    "GetOverview": CallRule(RequiredRole.READ),
    "GetKeysView": CallRule(RequiredRole.READ),
    "GetModelsView": CallRule(RequiredRole.READ),
    "GetNodesView": CallRule(RequiredRole.READ),
    "GetUsageView": _USAGE,
    "GetMembersView": CallRule(RequiredRole.MANAGE),
    "SearchRequests": _USAGE,
    "ListRequests": _USAGE,
    "GetRequest": CallRule(RequiredRole.READ),
    "CancelRequest": CallRule(RequiredRole.OWN),
    # Objects of the installation. These include an organisation's own routes: their targets spend the
    # installation's credentials, and their prices decide what its limits count.
    **dict.fromkeys(
        (
            *("Apply", "Export", "GetGateway", "PutGateway", "GetStatus", "ListLimitUses", "ListQuotas"),
            *("ListProviders", "PutProvider", "DeleteProvider", "PutRoute", "DeleteRoute", "GetProvidersView"),
            "GetSettingsView",
            "SimulateRoutes",
            *("PutOrganisation", "DeleteOrganisation"),
            *("VerifyAudit", "ListRefusedUsage"),
            *("CreateSetupLink", "UpdateUser", "RemoveUser", "ResetUser"),
        ),
        CallRule(RequiredRole.ADMIN),
    ),
}
_DEFAULT = CallRule(RequiredRole.ADMIN)
#: Bytes of a request: of an admin, who sends whole configurations, of another user, and of a call that anybody may
#: make. Parsed, a request takes up to a hundred times its size.
MAX_BYTES, MAX_USERS_BYTES, MAX_ANYBODYS_BYTES = 16 * 1024 * 1024, 512 * 1024, 32 * 1024


def rule_of(method: str) -> CallRule:
    """Returns the rule for a method by its name, or by its full name."""
    return RULES.get(method.rpartition("/")[2], _DEFAULT)


def max_bytes(rule: CallRule, caller: Caller) -> int:
    """Returns the bytes that a request may have."""
    if caller.is_admin:
        return MAX_BYTES
    return MAX_ANYBODYS_BYTES if rule.need is RequiredRole.ANYBODY else MAX_USERS_BYTES


def require_possible(rule: CallRule, caller: Caller) -> None:
    """Checks what is known without the request. Raises ForbiddenError for a call that needs an admin."""
    if rule.need is RequiredRole.ADMIN and not caller.is_admin:
        raise ForbiddenError(f"your role does not allow this; it needs the role {rule.need.value}")


def require(rule: CallRule, caller: Caller, request: Message) -> None:
    """Checks the caller's role, in the organisation that the request names, if it names one.

    Raises:
        UnauthenticatedError: there is no caller.
        NotFoundError: the organisation is not one of the caller's; it is reported as nonexistent.
        ForbiddenError: the role does not allow the call.
    """
    if rule.need is RequiredRole.ANYBODY:
        return
    if not caller.is_somebody:
        raise UnauthenticatedError("sign in first, or send `authorization: Bearer <token>`")
    if rule.need is RequiredRole.SIGNED_IN or caller.is_admin:
        return
    organisation = _value(request, rule.organisation) if rule.organisation else ""
    allowed = _ROLES[rule.need]
    roles = {each.organisation: each.role for each in caller.memberships}
    if organisation:
        role = roles.get(organisation)
        if role is None:
            raise NotFoundError(f"{rule.organisation}: no organisation {quoted(organisation)}")
        roles = {organisation: role}
    if not allowed.intersection(roles.values()):
        where = f" in {organisation}" if organisation else ""
        raise ForbiddenError(f"your role does not allow this; it needs the role {rule.need.value}{where}")
    if rule.members is not None and organisation and roles[organisation] is Role.MEMBER:
        require_own_fields(rule, request)


def require_own_fields(rule: CallRule, request: Message) -> None:
    """Checks that a request sets only fields that a member may decide. Raises ForbiddenError."""
    forbidden = sorted(set(_given(request)) - (rule.members or frozenset()))
    if forbidden:
        raise ForbiddenError(
            f"{forbidden[0]}: a member may not set it; it needs the role {RequiredRole.OPERATE.value}"
        )


def _given(message: Message, before: str = "") -> list[str]:
    """Returns the paths of the fields that are set; for a message, those inside it."""
    found: list[str] = []
    for field, value in message.ListFields():
        path = f"{before}{field.name}"
        is_object = field.message_type is not None and not field.is_repeated
        found += _given(value, f"{path}.") if is_object else [path]
    return found


def _value(request: Message, path: str) -> str:
    found: object = request
    for name in path.split("."):
        found = getattr(found, name)
    return str(found)
