"""Maps each kind of object of trunkline.yaml to its message."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as admin, quota_pb2
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.policy.words import CALENDARS

from trunkline.config import model, units
from trunkline.config.mapping import Mapping

_LIMIT_FIELDS = Mapping(
    model.LimitSpec,
    policy.Limit,
    apart=["per", "amount", "alerts"],
    beside=["per_seconds", "calendar", "amount", "managed_by", "alerts_permille"],
)


class Limits:
    """Limits. Their window is one field of the file and two of the message, and their amount depends on the
    metric. Shares are fractions in the file.
    """

    def message(self, given: model.LimitSpec) -> policy.Limit:
        """Converts a limit; its amount becomes one in the control plane's unit."""
        message = _LIMIT_FIELDS.message(given)
        message.amount = given.units
        message.alerts_permille.extend(sorted({int(each.scaleb(3)) for each in given.alerts}))
        if isinstance(given.per, str):
            message.calendar = CALENDARS[given.per]
        else:
            message.per_seconds = given.per or 0
        # The form in which the control plane stores it, so that two names of one window are not two limits.
        message.time_zone = message.time_zone.removeprefix("UTC")
        return message

    def written(self, stored: policy.Limit) -> dict[str, Any]:
        """Returns the fields of a limit as trunkline.yaml has them."""
        fields = _LIMIT_FIELDS.written(stored)
        is_money = stored.metric == policy.METRIC_COST_USD
        window = self.window(stored)
        return {
            "metric": fields.pop("metric", "unknown"),
            **({"per": window} if window else {}),
            **fields,
            "amount": units.usd(stored.amount) if is_money else Decimal(stored.amount),
            **({"alerts": list(map(units.thousandths, stored.alerts_permille))} if stored.alerts_permille else {}),
        }

    def window(self, stored: policy.Limit) -> str:
        """Writes the window in the notation of `per`; empty for none."""
        if stored.calendar:
            return CALENDARS.word(stored.calendar)
        return units.duration(stored.per_seconds * 1000) if stored.per_seconds else ""


class ContextTiers:
    """Context tiers. Their rates have their own message."""

    _rates = Mapping(model.ContextTierSpec, policy.Rates, apart=["above"])

    def message(self, given: model.ContextTierSpec) -> policy.ContextTier:
        return policy.ContextTier(above=given.above, rates=self._rates.message(given))

    def written(self, stored: policy.ContextTier) -> dict[str, Any]:
        return {"above": stored.above, **self._rates.written(stored.rates)}


_CONTEXT_TIER = ContextTiers()


class Prices:
    """Prices. In the file, images and service tiers are keyed by their names."""

    _fields = Mapping(
        model.PriceSpec,
        policy.Price,
        apart=["images", "service_tiers"],
        beside=["images", "service_tiers", "version"],
        parts={model.ContextTierSpec: _CONTEXT_TIER},
    )
    _of_service_tier = Mapping(model.ServiceTierSpec, policy.Rates, apart=["tiers"])

    def message(self, given: model.PriceSpec) -> policy.Price:
        message = self._fields.message(given)
        message.images.extend(policy.ImagePrice(name=name, price=usd) for name, usd in given.images.items())
        message.service_tiers.extend(
            policy.ServiceTier(
                name=name, rates=self._of_service_tier.message(tier), tiers=map(_CONTEXT_TIER.message, tier.tiers)
            )
            for name, tier in given.service_tiers.items()
        )
        return message

    def written(self, stored: policy.Price) -> dict[str, Any]:
        found = self._fields.written(stored)
        if stored.images:
            found["images"] = {each.name: units.usd(each.price) for each in stored.images}
        if stored.service_tiers:
            found["service_tiers"] = {each.name: self._service_tier(each) for each in stored.service_tiers}
        return found

    def _service_tier(self, stored: policy.ServiceTier) -> dict[str, Any]:
        tiers = list(map(_CONTEXT_TIER.written, stored.tiers))
        return {**self._of_service_tier.written(stored.rates), **({"tiers": tiers} if tiers else {})}


LIMIT = Limits()
PRICE = Prices()
TARGET = Mapping(model.TargetSpec, admin.RouteTarget, beside=["price_history"], parts={model.PriceSpec: PRICE})
ROUTE = Mapping(
    model.RouteSpec,
    admin.Route,
    beside=["id", "version", "managed_by"],
    quiet=["prompt_cache_key"],
    parts={model.TargetSpec: TARGET, model.LimitSpec: LIMIT},
)
QUOTA = Mapping(model.QuotaSpec, quota_pb2.Quota)


class Providers(Mapping[model.ProviderSpec, admin.Provider]):
    """Providers. Secrets are written but never read back. In the file, a credential's own quotas stand next
    to it.
    """

    def message(self, given: model.ProviderSpec) -> admin.Provider:
        message = super().message(given)
        credentials = given.credentials or ()
        message.credentials.extend(each.value for each in credentials if each.value is not None)
        message.credential_quotas.extend(
            quota_pb2.CredentialQuota(credential=position, quota=map(QUOTA.message, each.quota))
            for position, each in enumerate(credentials, 1)
            if each.quota
        )
        return message

    def written(self, stored: admin.Provider) -> dict[str, Any]:
        """Writes credentials without values, which keeps the stored ones."""
        found = super().written(stored)
        own = {each.credential: list(map(QUOTA.written, each.quota)) for each in stored.credential_quotas}
        if own:
            found["credentials"] = [
                {"quota": own[position]} if position in own else {} for position in range(1, max(own) + 1)
            ]
        return found


PROVIDER = Providers(
    model.ProviderSpec,
    admin.Provider,
    apart=["credentials"],
    beside=[
        "credentials",
        "credential_quotas",
        "credential_count",
        "clear_credentials",
        "version",
        "managed_by",
        "credentials_managed_by",
    ],
)
ORGANISATION = Mapping(
    model.OrganisationSpec,
    admin.Organisation,
    apart=["keys"],
    beside=["id", "version", "managed_by"],
    parts={model.LimitSpec: LIMIT},
)
CORS = Mapping(model.CorsSpec, admin.Cors)
ACCOUNTS = Mapping(model.AccountsSpec, admin.Accounts)
IDENTITY_PROVIDER = Mapping(
    model.IdentityProviderSpec,
    admin.IdentityProvider,
    apart=["client_secret"],
    beside=["client_secret", "has_secret"],
    parts={
        model.GroupRoleSpec: Mapping(model.GroupRoleSpec, admin.GroupRole),
        model.SignUpSpec: Mapping(model.SignUpSpec, admin.SignUp),
    },
)
JWT_ISSUER = Mapping(
    model.JwtIssuerSpec,
    admin.JwtIssuer,
    beside=["key_ids"],
    parts={model.JwtGrantSpec: Mapping(model.JwtGrantSpec, admin.JwtGrant)},
)
ALERTING = Mapping(model.AlertingSpec, admin.Alerting, apart=["secret"], beside=["secret", "signed"])
#: A secret is written but never read back.
SHARED_CACHE = Mapping(
    model.SharedCacheSpec,
    admin.SharedCache,
    apart=["password"],
    beside=["password", "clear_password", "has_password"],
)
KEY = Mapping(
    model.KeySpec,
    admin.Key,
    apart=["value"],
    # A key that pins targets lasts a day: no file describes one.
    beside=[
        *("owner", "id", "organisation", "created_at", "revoked_at", "version", "former_until", "managed_by"),
        "pins_targets",
    ],
    quiet=["priority"],
    parts={model.LimitSpec: LIMIT},
)
