import ast
import re
import string
from pathlib import Path

import pytest

from dashboard.charts.colours import VERDICT_FILL
from dashboard.failures.kinds import FAULTS
from dashboard.page.language import LANGUAGES, Words, catalogue, preferred
from dashboard.points.measures import MEASURES
from eval.interchange.forms import LABELS
from eval.metrics import METRICS
from trainer.pairs.review import STATUSES

SOURCES = sorted((Path(__file__).parents[2] / "dashboard").rglob("*.py"))


def test_every_language_has_the_same_keys() -> None:
    assert {language: set(catalogue(language)) for language in LANGUAGES} == {
        language: set(catalogue("en")) for language in LANGUAGES
    }


def test_every_language_fills_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert {key: places(text) for key, text in catalogue("ja").items()} == {
        key: places(text) for key, text in catalogue("en").items()
    }


def test_every_key_in_the_code_is_in_the_catalogue() -> None:
    used = {key for source in SOURCES for key in _keys(source)}
    assert len(used) > 60  # the search itself still finds something
    assert used - set(catalogue("en")) == set()


def test_every_name_that_the_store_may_hold_has_words() -> None:
    kinds = ("harmful", "jailbreak", "borderline", "benign", "choice", "all")
    names = {
        "metric": MEASURES,
        "fault": FAULTS,
        "kind": kinds,
        "verdict": VERDICT_FILL,
        "chip": VERDICT_FILL,
        "trust": ("trusted", "not trusted", "not calibrated"),
        "axis_name": ("safety", "fluency", "accuracy", "detail", "relevance", "correct"),
        "page": ("frontier", "compare", "failures", "judges", "review", "export"),
        "status": STATUSES,
        "frontier": ("compare", "failures", "export"),
        "export": ("select", "confirm"),
        "rating": [label for labels in LABELS.values() for label in labels if label not in LABELS["correct"]],
        "compare": ("previous", "next"),
        "judges": ("kappa", "quadratic", "alpha"),
    }
    assert {f"{family}.{name}" for family, some in names.items() for name in some} <= set(catalogue("en"))


def test_every_metric_of_the_evaluation_is_shown() -> None:
    assert set(MEASURES) == set(METRICS)


def test_no_string_is_left_untranslated() -> None:
    same = {key for key, text in catalogue("ja").items() if text == catalogue("en")[key]}
    assert same == {"axis.x", "axis.y", "frontier.download", "judges.llm"}


@pytest.mark.parametrize(
    ("locale", "language"), [("ja-JP", "ja"), ("ja", "ja"), ("en-GB", "en"), ("de", "en"), (None, "en")]
)
def test_the_browser_decides(locale: str | None, language: str) -> None:
    assert preferred(locale) == language


def test_an_unknown_key_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Words("en")("no.such.key")


def _keys(source: Path) -> set[str]:
    """Plain string arguments of `word(...)` and `frame.words(...)` calls, wherever they look like keys."""
    keys: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and re.fullmatch(r"word|words", _name(node.func)):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                keys.add(first.value)
    return keys


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
