"""Win rates on the pages: of the merges alone, for the baseline has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.store import open_store
from tests.dashboard.conftest import Pages

ROWS = """
INSERT INTO estimate
SELECT study_id, checkpoint_id, judge_id, metric, 'all', split, 0.6, 0.5, 0.7, 36, 0, 0.6, 0.6, NULL
FROM (SELECT DISTINCT study_id, checkpoint_id, judge_id, split FROM estimate), (VALUES ('win_rate'), ('win_rate_lc'))
  AS metrics(metric)
WHERE checkpoint_id IN (SELECT checkpoint_id FROM checkpoint WHERE kind = 'merge')
"""


@pytest.mark.parametrize(("language", "name"), [("en", "won at equal length"), ("ja", "勝率（長さ調整済み）")])
def test_the_frontier_takes_them(pages: Pages, store: Path, tmp_path: Path, language: str, name: str) -> None:
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute(ROWS)
    page = pages("frontier", at=path, lang=language, y="win_rate_lc")
    assert not page.exception
    charts = [str(json.loads(chart.proto.spec)) for chart in page.get("plotly_chart")]
    assert any(name in chart for chart in charts)
