from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import loader
from trunkline.config.document import request
from trunkline.config.secrets import Secrets
from trunkline.errors import ConfigError

FULL = """\
version: 1
providers:
  - name: openai
    dialect: openai
    base_url: https://api.openai.com/v1
    credentials: [env:OPENAI_API_KEY, file:second]
  - name: own
    base_url: http://127.0.0.1:8000/v1
    ca_file: /etc/ca.pem
    stream_usage: false
    credentials: []
routes:
  - model: gpt-4.1
    strategy: priority
    targets:
      - {provider: openai, model: gpt-4.1, weight: 80, price: {input: 2.00, output: 0.150001}}
      - nodes: "llama3:70b"
        tier: 1
        weight: 0
        price: {cached_input: 0.5, request: 0.001, valid_from: 2026-12-01}
    timeouts: {first_byte: 30s, idle: 2m, connect: 500ms}
    cache: {ttl: 1h}
    privacy: own-nodes
    limits: [{metric: concurrency, amount: 50}]
    reserved_output_tokens: 2048
organisations:
  - name: acme
    limits:
      - {metric: requests, per: 60s, amount: 600}
      - {metric: cost_usd, per: 30d, amount: 500.25}
      - {metric: concurrency, amount: 20}
      - {metric: cost_usd, per: month, time_zone: Europe/Berlin, amount: 500}
    keys:
      - name: ci
        value: env:ACME_CI_KEY
        models: ["gpt-*"]
        limits: [{metric: tokens, per: 60s, amount: 100000, model: gpt-4.1}, {metric: tokens, per: day, amount: 5}]
        expires_at: 2030-01-01T00:00:00Z
      - {name: old, value: a-literal-key-of-a-test}
"""


LIMIT = "version: 1\norganisations:\n  - name: a\n    limits: [{%s}]\n"
PRICE = "version: 1\nroutes:\n  - model: m\n    targets: [{nodes: m, price: {%s}}]\n"


def parse(text: str, directory: Path = Path("/nonexistent"), **environment: str) -> admin.Document:
    file = loader.parse(text, "trunkline.yaml", Secrets(environment, directory))
    return request(file).document


def mistakes(text: str, **environment: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, **environment)
    return str(caught.value).splitlines()


WHOLE_PRICE = """
          input: 2.00
          output: 8.00
          cached_input: 0.20
          cache_write: 2.50
          cache_write_1h: 4.00
          reasoning: 9.00
          audio_input: 40
          audio_output: 80
          request: 0.001
          audio_second_input: 0.0000111
          audio_second_output: 0.0002
          character: 15.00
          search_unit: 0.002
          images: {1024x1024/high: 0.167, default: 0.04}
          tiers:
            - {above: 200000, input: 4.00, output: 12.00, cached_input: 0.40}
          service_tiers:
            flex: {input: 1.00, output: 4.00}
            priority: {input: 3.50, output: 14.00, tiers: [{above: 200000, input: 7, output: 28}]}
"""


def test_every_part_of_a_price_arrives_in_its_unit() -> None:
    text = f"version: 1\nroutes:\n  - model: m\n    targets:\n      - nodes: m\n        price:{WHOLE_PRICE}"
    assert parse(text).routes[0].targets[0].price == policy.Price(
        input=2_000_000,
        output=8_000_000,
        cached_input=200_000,
        cache_write=2_500_000,
        cache_write_1h=4_000_000,
        reasoning=9_000_000,
        audio_input=40_000_000,
        audio_output=80_000_000,
        request=1_000,
        audio_second_input=11_100_000,
        audio_second_output=200_000_000,
        character=15_000_000,
        search_unit=2_000,
        images=[
            policy.ImagePrice(name="1024x1024/high", price=167_000),
            policy.ImagePrice(name="default", price=40_000),
        ],
        tiers=[
            policy.ContextTier(
                above=200_000, rates=policy.Rates(input=4_000_000, output=12_000_000, cached_input=400_000)
            )
        ],
        service_tiers=[
            policy.ServiceTier(name="flex", rates=policy.Rates(input=1_000_000, output=4_000_000)),
            policy.ServiceTier(
                name="priority",
                rates=policy.Rates(input=3_500_000, output=14_000_000),
                tiers=[policy.ContextTier(above=200_000, rates=policy.Rates(input=7_000_000, output=28_000_000))],
            ),
        ],
    )


def test_everything_arrives_in_its_unit(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("sk-2\n")

    document = parse(FULL, tmp_path, OPENAI_API_KEY="sk-1", ACME_CI_KEY="sk-ci-0123456789")

    openai, own = document.providers
    assert list(openai.credentials) == ["sk-1", "sk-2"]
    assert not openai.clear_credentials
    assert not openai.HasField("stream_usage")
    assert own == admin.Provider(
        name="own",
        dialect="openai",
        base_url="http://127.0.0.1:8000/v1",
        ca_file="/etc/ca.pem",
        stream_usage=False,
        clear_credentials=True,
    )
    assert document.routes[0] == admin.Route(
        model="gpt-4.1",
        strategy=admin.STRATEGY_PRIORITY,
        targets=[
            admin.RouteTarget(
                provider="openai", model="gpt-4.1", weight=80, price=policy.Price(input=2_000_000, output=150_001)
            ),
            admin.RouteTarget(
                nodes="llama3:70b",
                tier=1,
                weight=0,
                price=policy.Price(cached_input=500_000, request=1_000, valid_from=1_796_083_200),
            ),
        ],
        timeouts=admin.Timeouts(first_byte_ms=30_000, idle_ms=120_000, connect_ms=500),
        cache_ttl_seconds=3600,
        privacy=admin.PRIVACY_OWN_NODES,
        limits=[policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=50)],
        reserved_output_tokens=2048,
        cache_scope=policy.CACHE_SCOPE_ORGANISATION,
        affinity=policy.AFFINITY_POOL,
        prompt_cache_key=policy.PROMPT_CACHE_KEY_NONE,
    )
    acme = document.organisations[0]
    assert list(acme.organisation.limits) == [
        policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=600),
        policy.Limit(metric=policy.METRIC_COST_USD, per_seconds=2_592_000, amount=500_250_000),
        policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=20),
        policy.Limit(
            metric=policy.METRIC_COST_USD,
            calendar=policy.CALENDAR_MONTH,
            time_zone="Europe/Berlin",
            amount=500_000_000,
        ),
    ]
    ci, old = acme.keys
    assert (ci.value, list(ci.key.models), ci.key.expires_at) == ("sk-ci-0123456789", ["gpt-*"], 1_893_456_000)
    assert list(ci.key.limits) == [
        policy.Limit(metric=policy.METRIC_TOKENS, per_seconds=60, amount=100_000, model="gpt-4.1"),
        policy.Limit(metric=policy.METRIC_TOKENS, calendar=policy.CALENDAR_DAY, amount=5),
    ]
    assert (old.value, list(old.key.models), old.key.organisation) == ("a-literal-key-of-a-test", ["*"], "acme")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "version: 1\nroutes:\n- model: m\n  targets:\n  - nodes: a\n  - nodes: b\n    wieght: 3\n",
            "trunkline.yaml:7: routes[0].targets[1].wieght: unknown field; did you mean weight?",
        ),
        (
            "version: 1\nnodes: []\n",
            "trunkline.yaml:2: nodes: unknown field; known here: version, name, providers",
        ),
        ("version: 2\n", "trunkline.yaml:1: version: expected 1"),
        (
            "version: 1\nproviders:\n- name: a\n  base_url: ''\n",
            "trunkline.yaml:4: providers[0].base_url: is empty; expected text",
        ),
        (
            "version: 1\nroutes:\n- model: m\n  targets: []\n",
            "trunkline.yaml:4: routes[0].targets: is empty; expected at least one item",
        ),
        (
            "version: 1\nroutes:\n- model: m\n  targets: [{nodes: n, weight: -1}]\n",
            "trunkline.yaml:4: routes[0].targets[0].weight: expected a number of 0 or more",
        ),
        (
            "version: 1\nroutes:\n- model: m\n  targets: [{nodes: n}]\n  balance: 100\n",
            "trunkline.yaml:5: routes[0].balance: expected a number of 99 or less",
        ),
        (
            PRICE % "input: 2,50, output: 8",
            "trunkline.yaml:4: routes[0].targets[0].price.50: unknown field; a decimal number has a point",
        ),
        ("providers: []\n", "trunkline.yaml:1: version: is required"),
        ("- version\n", "trunkline.yaml:1: expected the fields version"),
        ("", "trunkline.yaml:1: expected the fields version"),
        ("version: 1\nroutes:\n\n  - model: m\n", "trunkline.yaml:4: routes[0].targets: is required"),
        (
            "version: 1\nroutes:\n  - {model: 4.1, targets: [{nodes: n}]}\n",
            "trunkline.yaml:3: routes[0].model: expected text",
        ),
        (
            "version: 1\nroutes:\n  - model: m\n    targets: [{provider: a}]\n",
            "trunkline.yaml:4: routes[0].targets[0]: a target has `provider` and `model`, or `nodes`",
        ),
        (
            "version: 1\nroutes:\n  - model: m\n    targets: [{nodes: m}]\n    timeouts:\n      idle: 30\n",
            "trunkline.yaml:6: routes[0].timeouts.idle: expected a duration such as 500ms",
        ),
        (
            "version: 1\nroutes:\n  - model: m\n    targets: [{nodes: m, price: {input: 0.0000001}}]\n",
            "trunkline.yaml:4: routes[0].targets[0].price.input: expected an amount in USD of at most 6 decimals",
        ),
        (
            PRICE % "input: 2.00",
            "trunkline.yaml:4: routes[0].targets[0].price: `input` without `output`: write `output: 0` if output",
        ),
        (
            PRICE % "output: 2.00, request: 1",
            "trunkline.yaml:4: routes[0].targets[0].price: `output` without `input`: write `input: 0`",
        ),
        (
            PRICE % "input: 1, output: 2, tiers: [{above: 9, input: 2}]",
            "trunkline.yaml:4: routes[0].targets[0].price.tiers[0].output: is required",
        ),
        (
            PRICE % "input: 1, output: 2, service_tiers: {flex: {input: 1}}",
            "trunkline.yaml:4: routes[0].targets[0].price.service_tiers.flex.output: is required",
        ),
        (
            PRICE % "input: 1, output: 2, service_tiers: {flex: {input: 1, output: 2, reasonin: 1}}",
            "trunkline.yaml:4: routes[0].targets[0].price.service_tiers.flex.reasonin: unknown field; did you",
        ),
        (
            PRICE % "images: {default: -1}",
            "trunkline.yaml:4: routes[0].targets[0].price.images.default: expected an amount in USD",
        ),
        (
            PRICE % "audio_second_input: 0.0000000000001",
            "trunkline.yaml:4: routes[0].targets[0].price.audio_second_input: expected an amount in USD",
        ),
        (
            "version: 1\norganisations:\n  - name: a\n    limits: [{metric: tokens, amount: 5}]\n",
            "trunkline.yaml:4: organisations[0].limits[0]: a limit on tokens needs a window",
        ),
        (
            "version: 1\norganisations:\n  - name: a\n    limits: [{metric: concurrency, per: 1s, amount: 5}]\n",
            "trunkline.yaml:4: organisations[0].limits[0]: concurrency has no window",
        ),
        (
            "version: 1\norganisations:\n  - name: a\n    limits: [{metric: requests, per: 1s, amount: 0.5}]\n",
            "trunkline.yaml:4: organisations[0].limits[0]: requests are counted in whole numbers",
        ),
        *(
            (
                LIMIT % (fields if "amount" in fields else f"{fields}, amount: 5"),
                f"trunkline.yaml:4: organisations[0].limits[0]{expected}",
            )
            for fields, expected in (
                (
                    "metric: tokens, per: 0s",
                    ".per: expected a duration of 1s or more, such as 60s, 1h or 30d, or day",
                ),
                ("metric: tokens, per: 60", ".per: expected a duration of 1s or more"),
                ("metric: tokens, per: 500ms", ".per: expected whole seconds"),
                ("metric: tokens, per: year", ".per: expected a duration such as"),
                (
                    "metric: tokens, per: 1h, time_zone: UTC",
                    ": `time_zone` is accepted only with the windows day, week and month",
                ),
                (
                    "metric: cost_usd, per: day, amount: 0.0000001",
                    ": expected an amount in USD of at most 6 decimals",
                ),
            )
        ),
        *(
            (
                PRICE % f"input: 1, output: 2, valid_from: {moment}",
                "trunkline.yaml:4: routes[0].targets[0].price.valid_from: expected a date or time such as 2026-",
            )
            for moment in ("soon", "5", "true", "[]")
        ),
        ("version: 1\nproviders: [\n", "trunkline.yaml:3: not valid YAML"),
        ("version: 1\nversion: 1\n", "trunkline.yaml:2: version is given twice"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, expected: str) -> None:
    found = mistakes(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_mistakes_are_named_at_once() -> None:
    found = mistakes("version: 1\nproviders:\n  - nmae: a\n    base_url: http://a\nroutes: 5\n")
    assert [line.split(": ")[0] for line in found] == ["trunkline.yaml:3", "trunkline.yaml:3", "trunkline.yaml:5"]


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ("env:ABSENT", "the environment variable ABSENT is not set"),
        (
            "env:EMPTY",
            "the environment variable EMPTY is empty: export it for this command, or use",
        ),
        ("file:/nonexistent/key", "cannot read /nonexistent/key: No such file or directory"),
        ("sk-a-real-secret", "a credential is env:NAME or file:PATH"),
    ],
)
def test_a_credential_is_a_reference_that_resolves(credential: str, expected: str) -> None:
    text = f"version: 1\nproviders:\n  - name: a\n    base_url: http://a\n    credentials:\n      - {credential}\n"
    found = mistakes(text, EMPTY="")
    assert found[0].startswith(f"trunkline.yaml:6: providers[0].credentials[0].value: {expected}")
    assert "sk-a-real-secret" not in found[0]


def test_no_message_repeats_a_value_that_may_be_a_secret() -> None:
    found = mistakes("version: 1\norganisations:\n  - {name: a, keys: [{name: k, value: [sk-a-real-secret]}]}\n")
    assert "sk-a-real-secret" not in "\n".join(found)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-12-01", 1_796_083_200),
        ("2026-12-01T12:00:00", 1_796_126_400),
        ("2026-12-01T00:00:00+01:00", 1_796_079_600),
        ('"2026-12-01"', 1_796_083_200),
        ("2026-12-01T00:00Z", 1_796_083_200),
    ],
)
def test_a_price_begins_at_a_date_or_time(written: str, expected: int) -> None:
    document = parse(PRICE % f"input: 1, output: 2, valid_from: {written}")
    assert document.routes[0].targets[0].price.valid_from == expected


def test_anchors_merge() -> None:
    document = parse(
        "version: 1\nroutes:\n  - &a\n    model: a\n    targets: [{nodes: n}]\n    privacy: own-nodes\n"
        "  - <<: *a\n    model: b\n"
    )
    assert [(each.model, each.privacy) for each in document.routes] == [
        ("a", admin.PRIVACY_OWN_NODES),
        ("b", admin.PRIVACY_OWN_NODES),
    ]


def test_an_alias_to_itself_is_refused() -> None:
    assert "an alias refers to its own container" in mistakes("version: 1\nroutes: &a [*a]\n")[0]


def test_only_what_the_file_names_is_sent_with_the_sections_that_it_has() -> None:
    secrets = Secrets({}, Path())

    empty = request(loader.parse("version: 1\nroutes: []\n", "f", secrets))
    named = request(loader.parse("version: 1\nname: edge\norganisations: [{name: acme}]\n", "f", secrets))

    assert (empty.document, list(empty.sections)) == (admin.Document(), ["routes"])
    assert empty.managed_by == "file:trunkline"
    assert [each.organisation.name for each in named.document.organisations] == ["acme"]
    assert (list(named.sections), named.managed_by) == (["organisations"], "file:edge")


def test_a_key_for_no_model_is_refused_instead_of_taken_for_one_for_every_model() -> None:
    key = "{name: k, value: a-literal-key-of-a-test, models: []}"
    (said,) = mistakes(f"version: 1\norganisations:\n  - name: a\n    keys: [{key}]\n")
    assert said.startswith("trunkline.yaml:4: organisations[0].keys[0].models: ")


@pytest.mark.parametrize(
    ("number", "read_as"),
    [("010", 8), ("-010", -8), ("0_17", 15), ("1:30", 90), ("2:00", 120), ("1:30:00", 5_400)],
)
@pytest.mark.parametrize("text", [PRICE % "input: %s, output: 1", LIMIT % "metric: tokens, per: day, amount: %s"])
def test_an_amount_that_yaml_reads_in_another_base_is_refused(text: str, number: str, read_as: int) -> None:
    with pytest.raises(ConfigError, match=f"f:[0-9]: .*YAML reads {number} as {read_as};"):
        loader.parse(text % number, "f", Secrets({}, Path()))


@pytest.mark.parametrize("number", ["0", "00", "0.5", "10", "1_000", "0x10", "+2"])
def test_amounts_that_nobody_misreads(number: str) -> None:
    loader.parse(PRICE % f"input: {number}, output: 1", "f", Secrets({}, Path()))
