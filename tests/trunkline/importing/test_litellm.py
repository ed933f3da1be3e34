"""Imports of LiteLLM's configurations: their results, their reports, and that no key is ever copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from trunkline.__main__ import main
from trunkline.config import loader
from trunkline.config.secrets import Secrets
from trunkline.errors import ConfigError
from trunkline.importing.findings import Grade
from trunkline.importing.litellm import Imported, convert
from trunkline.importing.litellm_providers import base_url, split_model

SECRET = "sk-real-secret-0123456789"


def imported(tmp_path: Path, **config: Any) -> Imported:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return convert(path, "acme")


def deployment(name: str, model: str, /, **parameters: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, **parameters}}


def graded(made: Imported) -> dict[str, str]:
    return {each.path: str(each.grade) for each in made.findings.found}


def document(made: Imported) -> dict[str, Any]:
    """Returns the document, after the check that `apply` would make."""
    environment = dict.fromkeys(
        ("OPENAI_API_KEY", "AZURE_KEY", "ANTHROPIC_API_KEY", "LITELLM_MASTER_KEY", "LAB_KEY"), SECRET
    )
    loader.parse(made.text, "trunkline.yaml", Secrets(environment, Path()))
    return dict(yaml.safe_load(made.text))


def test_deployments_of_one_name_are_the_targets_of_one_route(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        model_list=[
            deployment(
                "gpt-4o",
                "azure/eu",
                api_base="https://x.openai.azure.com/",
                api_key="os.environ/AZURE_KEY",
                weight=3,
            ),
            {
                **deployment("gpt-4o", "gpt-4o", api_key="os.environ/OPENAI_API_KEY", order=2),
                "model_info": {
                    "input_cost_per_token": 2.5e-06,
                    "output_cost_per_token": 0.00001,
                    "cache_read_input_token_cost": 1.25e-06,
                    "max_input_tokens": 128000,
                },
            },
            deployment("lab", "openai/qwen", api_base="http://gpu:8000/v1/", api_key="none"),
        ],
    )
    wanted = document(made)
    assert wanted["providers"] == [
        {"name": "azure", "base_url": "https://x.openai.azure.com/openai/v1", "credentials": ["env:AZURE_KEY"]},
        {"name": "openai", "base_url": "https://api.openai.com/v1", "credentials": ["env:OPENAI_API_KEY"]},
        {"name": "openai-2", "base_url": "http://gpu:8000/v1"},
    ]
    assert [(each["model"], each["targets"]) for each in wanted["routes"]] == [
        (
            "gpt-4o",
            [
                {"provider": "azure", "model": "eu", "weight": 3},
                {
                    "provider": "openai",
                    "model": "gpt-4o",
                    "tier": 1,
                    "price": {"input": 2.5, "output": 10, "cached_input": 1.25},
                    "context": 128000,
                },
            ],
        ),
        ("lab", [{"provider": "openai-2", "model": "qwen"}]),
    ]
    assert graded(made)["model_list[0].litellm_params.model"] == "approximate"
    assert graded(made)["model_list[1]"] == "exact"


def test_what_one_key_may_send_is_a_quota_of_its_provider(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        model_list=[
            deployment("a", "gpt-4o", rpm=60, tpm=1000),
            deployment("b", "gpt-4.1", rpm=30),
            deployment("c", "openai/x", api_base="http://gpu:8000/v1", api_key="none"),
        ],
    )
    openai, lab = document(made)["providers"]
    assert openai["quota"] == [
        {"metric": "requests", "per": "60s", "amount": 90},
        {"metric": "tokens", "per": "60s", "amount": 1000},
    ]
    assert "quota" not in lab


def test_fallbacks_are_further_tiers_and_an_alias_has_them_too(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        model_list=[deployment("a", "gpt-4o"), deployment("b", "anthropic/claude"), deployment("c", "gpt-4.1")],
        router_settings={
            "model_group_alias": {"old": "a", "gone": "z"},
            "fallbacks": [{"a": ["b"]}, {"z": ["a"]}],
        },
        litellm_settings={"default_fallbacks": ["c"], "context_window_fallbacks": [{"b": ["nowhere"]}]},
    )
    tiers = {
        route["model"]: [(target["model"], target.get("tier", 0)) for target in route["targets"]]
        for route in document(made)["routes"]
    }
    assert tiers == {
        "a": [("gpt-4o", 0), ("claude", 1), ("gpt-4.1", 2)],
        "b": [("claude", 0), ("gpt-4.1", 1)],
        "c": [("gpt-4.1", 0)],
        "old": [("gpt-4o", 0), ("claude", 1), ("gpt-4.1", 2)],
    }
    found = graded(made)
    assert found["router_settings.fallbacks.a"] == "exact"
    assert found["router_settings.model_group_alias.old"] == "exact"
    for path in ("fallbacks.z", "model_group_alias.gone"):
        assert found[f"router_settings.{path}"] == "unsupported"
    assert found["litellm_settings.context_window_fallbacks.b"] == "unsupported"


def test_budgets_keys_cache_and_strategy(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        model_list=[deployment("a", "gpt-4o")],
        router_settings={"routing_strategy": "latency-based-routing", "timeout": 45, "allowed_fails": 3},
        litellm_settings={
            "max_budget": 12.5,
            "budget_duration": "1mo",
            "cache": True,
            "cache_params": {"type": "redis", "host": "redis", "port": 6380, "ttl": 300, "password": SECRET},
        },
        general_settings={
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "database_url": f"postgresql://u:{SECRET}@db/litellm",
            "global_max_parallel_requests": 20,
            "completion_model": "a",
        },
    )
    wanted = document(made)
    assert wanted["organisations"] == [
        {
            "name": "acme",
            "limits": [
                {"metric": "cost_usd", "per": "month", "amount": 12.5},
                {"metric": "concurrency", "amount": 20},
            ],
            "keys": [{"name": "litellm-master", "value": "env:LITELLM_MASTER_KEY"}],
        }
    ]
    (route,) = wanted["routes"]
    assert (route["strategy"], route["cache"], route["timeouts"]) == (
        "fastest",
        {"ttl": "300s"},
        {"first_byte": "45000ms"},
    )
    assert wanted["cache"] == {"store": "redis://redis:6380"}
    assert wanted["defaults"] == {"chat/completions": "a"}
    found = graded(made)
    assert found["general_settings.database_url"] == "manual"
    assert found["litellm_settings.cache_params.password"] == "manual"
    assert found["router_settings.allowed_fails"] == "approximate"


def test_a_key_in_the_file_is_never_copied(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        model_list=[
            deployment("a", "gpt-4o", api_key=SECRET),
            deployment("lab", "openai_like/x", api_base="https://lab.example.com/v1", api_key=SECRET),
        ],
        general_settings={"master_key": SECRET},
        environment_variables={"OPENAI_API_KEY": SECRET},
        litellm_settings={"langfuse_secret": SECRET},
    )
    said = made.text + str(made.findings.found)
    assert SECRET not in said
    assert "env:OPENAI_API_KEY" in made.text
    assert "env:CUSTOM_API_KEY" in made.text
    assert graded(made)["model_list[0].litellm_params.api_key"] == "manual"


@pytest.mark.parametrize(
    ("entry", "path", "grade"),
    [
        (deployment("b", "bedrock/anthropic.claude-v2"), "model_list[1].litellm_params.model", "unsupported"),
        (deployment("*", "openai/*"), "model_list[1].model_name", "manual"),
        (deployment("h", "azure/x"), "model_list[1].litellm_params", "manual"),
        (
            deployment("e", "openai/x", api_base="os.environ/BASE"),
            "model_list[1].litellm_params.api_base",
            "manual",
        ),
        (deployment("r", "gpt-4o", rpm=60), "model_list[1].litellm_params.rpm", "approximate"),
        (deployment("t", "gpt-4o", temperature=0), "model_list[1].litellm_params.temperature", "unsupported"),
        (deployment("n", "gpt-4o", brand_new=1), "model_list[1].litellm_params.brand_new", "unsupported"),
        ({"model_name": "x"}, "model_list[1]", "unsupported"),
        ("nonsense", "model_list[1]", "unsupported"),
    ],
)
def test_every_setting_has_a_grade(tmp_path: Path, entry: Any, path: str, grade: str) -> None:
    made = imported(tmp_path, model_list=[deployment("a", "gpt-4o"), entry])
    assert graded(made)[path] == grade
    assert "a" in {route["model"] for route in document(made)["routes"]}


def test_sections_that_nobody_knows_are_reported(tmp_path: Path) -> None:
    made = imported(tmp_path, model_list=[], guardrails=[{"name": "x"}], router_settings={"new": 1}, empty=None)
    assert graded(made) == {"router_settings.new": "unsupported", "guardrails": "unsupported"}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", ("openai", "gpt-4o")),
        ("openai/responses/gpt-4o", ("openai", "gpt-4o")),
        ("openrouter/anthropic/claude", ("openrouter", "anthropic/claude")),
        ("meta-llama/Llama-3", ("openai", "meta-llama/Llama-3")),
        ("hosted_vllm/meta-llama/Llama-3", ("hosted_vllm", "meta-llama/Llama-3")),
    ],
)
def test_a_model_has_its_providers_prefix(model: str, expected: tuple[str, str]) -> None:
    assert split_model(model) == expected


@pytest.mark.parametrize(
    ("prefix", "given", "expected"),
    [
        ("openai", "https://x.example.com/v1/chat/completions", "https://x.example.com/v1"),
        ("azure", "https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1"),
        ("ollama", "http://gpu:11434", "http://gpu:11434/v1"),
        ("ollama_chat", "http://gpu:11434/api", "http://gpu:11434/v1"),
    ],
)
def test_a_base_url_is_what_stands_before_the_endpoint(prefix: str, given: str, expected: str) -> None:
    assert base_url(prefix, given) == expected


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "a: 1", "model_list: {}", ": : :"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ConfigError):
            convert(tmp_path / "config.yaml", "acme")


def test_the_command_writes_the_file_and_reports(tmp_path: Path) -> None:
    path, made = tmp_path / "config.yaml", tmp_path / "trunkline.yaml"
    path.write_text(yaml.safe_dump({"model_list": [deployment("a", "gpt-4o", api_key=SECRET)]}))
    runner = CliRunner()
    arguments = ["import", "litellm", str(path), "--write", str(made)]
    done = runner.invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "manual" in done.stderr
    assert yaml.safe_load(made.read_text())["routes"][0]["model"] == "a"
    again = runner.invoke(main, arguments)
    assert again.exit_code == 1
    assert "give --force" in again.output
    assert runner.invoke(main, [*arguments, "--force"]).exit_code == 0
    report = json.loads(runner.invoke(main, ["import", "litellm", str(path), "--report", "json"]).stdout)
    assert {row["grade"] for row in report} <= {str(grade) for grade in Grade}
    assert yaml.safe_load(runner.invoke(main, ["import", "litellm", str(path)]).stdout)["version"] == 1
