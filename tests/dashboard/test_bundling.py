from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from dashboard.study import bundling
from dashboard.study.recipes import STUDIES_VARIABLE, recipe_file
from mergescope.ground.errors import MergescopeError


def test_the_recipe_is_found_by_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    (studies / "a.yaml").write_text("study: other\n")
    (studies / "b.yaml").write_text("study: mine\n")
    (studies / "c.yaml").write_text("{not yaml")
    monkeypatch.delenv(STUDIES_VARIABLE, raising=False)
    assert recipe_file(tmp_path / "results.duckdb", "mine") == studies / "b.yaml"
    assert recipe_file(tmp_path / "results.duckdb", "none") is None
    monkeypatch.setenv(STUDIES_VARIABLE, str(tmp_path))
    assert recipe_file(tmp_path / "results.duckdb", "mine") is None


def test_a_failing_export_is_one_line(tmp_path: Path) -> None:
    recipe = tmp_path / "broken.yaml"
    recipe.write_text("study: broken\n")
    (tmp_path / "results.duckdb").touch()
    with pytest.raises(MergescopeError, match=r"broken\.yaml") as failure:
        bundling.bundle(recipe, "0.5", 1, tmp_path / "results.duckdb")
    assert "\n" not in failure.value.line()


def test_zips_of_equal_folders_are_equal(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "a.txt").write_text("x")
        (tmp_path / name / "run.sh").write_text("y")
        (tmp_path / name / "run.sh").chmod(0o755)
    first, second = (bundling.zipped(tmp_path / name) for name in ("one", "two"))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["deep/a.txt", "run.sh"]
        assert archive.getinfo("run.sh").external_attr >> 16 == 0o755


def test_acknowledged_gates_stand_in_the_command() -> None:
    plain = bundling.command("r.yaml", "0.5", 1, "out", "s.duckdb")
    opened = bundling.command("r.yaml", "0.5", 1, "out", "s.duckdb", ["vendor-terms", "less-safe-than-base"])
    assert opened == [*plain, "--acknowledge", "vendor-terms", "--acknowledge", "less-safe-than-base"]
