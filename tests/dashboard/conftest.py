"""A store of invented results, and the pages started on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.store import states
from dashboard.store.board import Board, brought_up
from dashboard.store.place import STORE_VARIABLE
from dashboard.store.reader import Reader
from eval.store import open_store
from tests.eval.synthetic_store import make_synthetic_store

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
Pages = Callable[..., AppTest]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 ratios, 3 references, 36 prompts, with the settings that a real sweep records for each merge."""
    path = tmp_path_factory.mktemp("results") / "results.duckdb"
    make_synthetic_store(path, ratios=5, prompts=36)
    recipe = {"threads": 2, "out_dtype": "bfloat16", "mergekit": {}, "versions": {"mergekit": "0.1.5"}}
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE checkpoint SET recipe = ? WHERE kind = 'merge'", [json.dumps(recipe)])
    return path


@pytest.fixture(autouse=True)
def no_slow_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show a changed store at once, however busy this machine is: none of these stores takes long."""
    monkeypatch.setattr(states, "SLOW_S", float("inf"))


@pytest.fixture
def pages(store: Path, monkeypatch: pytest.MonkeyPatch) -> Pages:
    """Starts the pages at the entry point, on `store` or another one: pages("compare", sel="0,1")."""

    def start(name: str = "frontier", at: Path = store, **address: str) -> AppTest:
        monkeypatch.setenv(STORE_VARIABLE, str(at))
        test = AppTest.from_file(str(APP), default_timeout=30)
        if name != "frontier":
            test.switch_page(f"views/{name}.py")
        test.query_params.update({"lang": "en", **address})
        return test.run()

    return start


def board_of(store: Path, study_id: str, judge_id: str) -> Board:
    """All answers of a study under one judge."""
    reader = Reader(store)
    return brought_up(None, lambda: reader.reading(1.0), study_id, judge_id)


def html(test: AppTest) -> str:
    """All HTML of a page."""
    return "\n".join(str(element.proto.body) for element in test.get("html"))


HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "[click](javascript:alert(1)) ![x](http://203.0.113.1/x.png)",
    "\u202egnp.exe\u200b \x1b[31mred",
    '=HYPERLINK("http://203.0.113.1")',
    "</article></div><style>body{display:none}</style>",
    "$\\href{javascript:alert(1)}{x}$ :material/delete: :red[x]",
)


def with_hostile_text(store: Path, folder: Path) -> Path:
    """A copy of `store` in which every text that somebody else wrote is hostile."""
    path = folder / "hostile.duckdb"
    path.write_bytes(store.read_bytes())
    text = "\n".join(HOSTILE)
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE text SET body = ?", [text])
        db.execute("UPDATE score SET reason = ?", [text])
        db.execute("UPDATE judgement SET error_kind = ? WHERE error_kind IS NOT NULL", [text])
        db.execute("UPDATE answer SET error_kind = ? WHERE error_kind IS NOT NULL", [text])
        db.execute("UPDATE prompt SET messages = ?", [json.dumps([{"role": "user", "content": text}])])
        db.execute("UPDATE study SET name = ?", [text])
        db.execute("UPDATE judge SET name = ?", [text])
        db.execute("UPDATE set_item SET category = [?, ?]", [text, text])
    return path
