"""People in each role of one organisation, a neighbour in another organisation, and what they own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.accounts.conftest import PASSWORD, Browser, Gateway
from xds_server.store.settings import Invitation
from xds_server.store.writing import join_tokens, nodes

ROLES = {"viewer": pb.ROLE_VIEWER, "member": pb.ROLE_MEMBER, "operator": pb.ROLE_OPERATOR, "owner": pb.ROLE_OWNER}


@dataclass
class Town:
    """The organisations `acme` and `other`. `tokens` open the gateway as a role; `neighbour` owns `other`.

    `keys` maps names to ids: the member's `own`, acme's `shared`, and `foreign` of the other organisation. Nodes
    likewise.
    """

    gateway: Gateway
    browsers: dict[str, Browser]
    keys: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)

    def stub(self, role: str) -> Any:
        """Returns a gRPC stub of a role, also for `nobody` and `machine`."""
        if role == "machine":
            return self.gateway.admin
        if role == "nobody":
            return self.gateway.stub
        return self.gateway.calling(self.browsers[role].cookies["trunkline_session"])


async def invite(gateway: Gateway, email: str, organisation: str, role: Any) -> Browser:
    """Returns a browser in which the invited person has accepted the invitation."""
    made = await gateway.admin.InviteUser(pb.InviteUserRequest(email=email, organisation=organisation, role=role))
    browser = gateway.browser()
    body = {"token": made.url.partition("#invite=")[2], "name": "", "password": PASSWORD}
    answer = await browser("POST", "/admin/v1/invitations:accept", body)
    assert answer.status == 200, answer.json
    return browser


async def town(gateway: Gateway) -> Town:
    """Creates the organisations, their people and their objects."""
    for name in ("acme", "other"):
        await gateway.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name=name)))
    browsers = {"admin": await gateway.set_up()}
    for name, role in ROLES.items():
        browsers[name] = await invite(gateway, f"{name}@acme.example", "acme", role)
    browsers["neighbour"] = await invite(gateway, "neighbour@other.example", "other", pb.ROLE_OWNER)
    found = Town(gateway, browsers)

    async def make(role: str, organisation: str, name: str) -> str:
        key = pb.Key(organisation=organisation, name=name)
        made = await found.stub(role).CreateKey(pb.CreateKeyRequest(key=key))
        return str(made.key.id)

    found.keys["own"] = await make("member", "acme", "mine")
    found.keys["shared"] = await make("operator", "acme", "ci")
    found.keys["foreign"] = await make("neighbour", "other", "ci")

    def join(transaction: Any) -> None:
        for name, organisation, key in (("own", "acme", "mine"), ("shared", "acme", ""), ("foreign", "other", "")):
            invitation = Invitation(owner_key=key, name=f"node-{name}")
            _, token = join_tokens.invite(transaction, organisation, invitation, fingerprint="ab" * 32)
            found.nodes[name] = nodes.enrol(transaction, token, "", name.encode()).id

    gateway.store.write("test", join)
    return found
