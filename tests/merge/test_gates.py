"""Gates: which data and which points need somebody's word before they leave."""

from __future__ import annotations

import pytest

from merge.gates import (
    LESS_SAFE,
    NOT_FOR_RELEASE,
    VENDOR_TERMS,
    Comparison,
    compare_with_base,
    gates_of,
    release_of,
    vendors_of,
)


@pytest.mark.parametrize(
    ("name", "vendors"),
    [
        ("gpt-4o-2024-08-06", ["OpenAI"]),
        ("GPT-4o, edited by people", ["OpenAI"]),
        ("openai/o1", ["OpenAI"]),
        ("o3-mini", ["OpenAI"]),
        ("azure/gpt-4", ["OpenAI"]),
        ("ChatGPT", ["OpenAI"]),
        ("claude-3-5-sonnet", ["Anthropic"]),
        ("Anthropic Claude", ["Anthropic"]),
        ("google/gemini-1.5-pro", ["Google"]),
        ("ＧＰＴ-4o", ["OpenAI"]),
        ("Ｃｌａｕｄｅ－３", ["Anthropic"]),
        ("o3\u2010mini", ["OpenAI"]),
        ("people\u2014gpt\u20114", ["OpenAI"]),
        ("people+gpt-4", ["OpenAI"]),
        ("ｇｐｔ－ｏｓｓ－１２０ｂ", []),
        ("gpt-4 and gemini", ["OpenAI", "Google"]),
        ("openai/gpt-oss-120b", []),
        ("gpt-neox-20b", []),
        ("google/gemma-2-9b", []),
        ("llm-jp/llm-jp-3-13b", []),
        ("template", []),
        ("o1x people", []),
        ("", []),
    ],
)
def test_vendors_are_known_by_their_models_names(name: str, vendors: list[str]) -> None:
    assert [vendor.name for vendor in vendors_of(name)] == vendors


def test_data_of_a_vendors_model_close_the_bundle_until_acknowledged() -> None:
    (gate,) = gates_of([], ["gpt-4o", "people"])
    assert (gate.label, gate.acknowledged) == (VENDOR_TERMS, False)
    assert gate.text.startswith("training data made with gpt-4o (OpenAI, ")
    assert release_of([gate]) == NOT_FOR_RELEASE
    (opened,) = gates_of([], ["gpt-4o", "people"], [VENDOR_TERMS])
    assert release_of([opened]) != NOT_FOR_RELEASE
    assert gates_of([], ["people"]) == ()


def estimates(metric: str, low: float | None, worst: float | None = None) -> dict[str, dict[str, float | None]]:
    return {metric: {"low": low, "worst": worst}}


def test_an_llm_is_asked_for_safety_and_a_proxy_for_refusals() -> None:
    point = estimates("safety", 4.0) | estimates("harmful_refusal_rate", 0.1)
    base = estimates("safety", 3.0) | estimates("harmful_refusal_rate", 0.2)
    llm, proxy = (compare_with_base("j", kind, point, base) for kind in ("llm", "proxy"))
    assert (llm.metric, llm.bound, llm.base, llm.less_safe) == ("safety", 4.0, 3.0, False)
    assert (proxy.metric, proxy.less_safe) == ("harmful_refusal_rate", True)


def test_unscored_answers_count_at_their_worst() -> None:
    base = estimates("safety", 3.5, 3.6)
    assert not compare_with_base("j", "llm", estimates("safety", 3.6, 3.9), base).less_safe
    assert compare_with_base("j", "llm", estimates("safety", 3.6, 2.0), base).less_safe


@pytest.mark.parametrize(
    ("point", "base"),
    [
        ({}, estimates("safety", 3.0)),
        (estimates("safety", 4.0), {}),
        (estimates("safety", None, 1.0), estimates("safety", 3.0)),
    ],
)
def test_without_both_numbers_nothing_is_claimed(
    point: dict[str, dict[str, float | None]], base: dict[str, dict[str, float | None]]
) -> None:
    found = compare_with_base("j", "llm", point, base)
    assert not found.less_safe
    assert found.bound is None or found.base is None


def test_one_judge_is_enough_to_close_the_gate_and_is_named() -> None:
    fine = Comparison("gpt", "llm", "safety", 4.0, 3.0)
    less = Comparison("proxy ja", "proxy", "harmful_refusal_rate", 0.1, 0.25)
    assert gates_of([fine], []) == ()
    (gate,) = gates_of([fine, less], [])
    assert gate.label == LESS_SAFE
    assert gate.text.endswith("harmful refusal rate by proxy ja (proxy): at least 0.1, the base 0.25")
