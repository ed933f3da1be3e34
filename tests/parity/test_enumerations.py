"""Every member of every enumeration: in the model, in the translator, and in the tables that are keyed by it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import DIMENSIONS, ORDERS, PRIVACIES, STRATEGIES, VISIBILITIES
from trunkline_proto.policy.endpoints import ENDPOINTS
from trunkline_proto.policy.words import AFFINITIES, CALENDARS, EACHES, METRICS, PROMPT_CACHE_KEYS
from trunkline_proto.words import Words

from translator import endpoints
from translator.endpoints import BodyKind
from translator.limits import Metric as TranslatorMetric, windows
from translator.limits.limit import Each as TranslatorEach
from trunkline import changes
from trunkline.verbs import audit, usage
from xds_server.admin import difference, usage as admin_usage
from xds_server.ledger import query, reports
from xds_server.ledger.query import Dimension
from xds_server.model import Affinity, Calendar, Each, Metric, Privacy, PromptCacheKey, Strategy, Visibility
from xds_server.store.records import Action, ObjectType
from xds_server.store.writing import transaction


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (Strategy, STRATEGIES), (Privacy, PRIVACIES), (Visibility, VISIBILITIES), (Metric, METRICS),
        (Calendar, CALENDARS), (Dimension, DIMENSIONS), (Affinity, AFFINITIES), (Each, EACHES),
        (PromptCacheKey, PROMPT_CACHE_KEYS),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)  # fmt: skip
def test_the_model_has_every_member(members: Any, words: Words[Any]) -> None:
    where = f"{members.__module__} lacks a member of {members.__name__}, or calls it otherwise"
    assert [each.value for each in members] == list(words), where
    assert [each.name.lower() for each in members] == [word.replace("-", "_") for word in words], where


def test_the_translator_has_every_word_of_limits() -> None:
    assert [each.text for each in TranslatorMetric] == list(METRICS), "translator/limits/limit.py"
    assert list(windows.CALENDARS) == list(CALENDARS), "translator/limits/windows.py"
    assert list(get_args(TranslatorEach)) == ["", *EACHES], "translator/limits/limit.py"


@pytest.mark.parametrize(
    ("table", "members", "where"),
    [
        (difference._KINDS, Action, "xds_server/admin/difference.py"),
        (transaction._KINDS, ObjectType, "xds_server/store/writing/transaction.py"),
        ({*query.COLUMNS, *reports._PERIODS}, Dimension, "xds_server/ledger/query.py or reports.py"),
        (admin_usage._ORDERS, admin.TopRequestsRequest.Order.values(), "xds_server/admin/usage.py"),
        (audit._TYPES.choices, ObjectType, "trunkline/verbs/audit.py"),
        (changes._SIGNS, set(admin.Change.Kind.values()) - {0}, "trunkline/changes.py"),
        (usage._DIMENSIONS.values(), set(admin.Dimension.values()) - {0}, "trunkline/verbs/usage.py"),
        (ORDERS.values(), set(admin.TopRequestsRequest.Order.values()) - {0}, "trunkline_proto/admin/words.py"),
    ],
    ids=[
        "Action",
        "ObjectType",
        "Dimension",
        "Order",
        "types in the audit log",
        "Change.Kind",
        "dimensions of reports",
        "orders",
    ],
)
def test_what_is_looked_up_by_a_member_has_all(
    table: Collection[Any], members: Collection[Any], where: str
) -> None:
    assert set(table) == set(members), where


def test_a_default_can_be_had_by_each_endpoint_that_takes_a_model() -> None:
    served = [each.path.removeprefix("/v1/") for each in endpoints.ENDPOINTS if each.body is not BodyKind.NONE]
    assert list(ENDPOINTS) == served, "trunkline_proto/policy/endpoints.py or translator/endpoints.py"
