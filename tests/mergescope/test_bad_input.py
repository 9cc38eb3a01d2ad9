"""Bad input: one line that names it, exit code 2, and nothing made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergescope import cli, inputs
from mergescope.ground.errors import MergescopeError
from mergescope.inputs import check_engine_and_judges, check_inputs
from mergescope.study import load_study
from tests.mergescope.conftest import holding, prompt_lines, write_lines
from tests.mergescope.recipes import changed, demo, own_models, written
from tests.mergescope.test_lock import HOLD

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that must fail; returns its one line. No study folder and no store may come of it."""

    def run(*arguments: str | Path, leaves: tuple[str, ...] = ()) -> str:
        before = {p.name for p in tmp_path.iterdir()}
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mergescope", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert {p.name for p in tmp_path.iterdir()} - before == set(leaves)
        return line

    return run


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("merge.desnity_safe", 1, "merge.desnity_safe: unknown key; did you mean `density_safe`?"),
        ("merge.ratios", [0, 1.5], "merge.ratios[1]: not allowed (got 1.5)"),
        ("merge.density_safe", 0, "merge.density_safe: not allowed (got 0)"),
        ("merge.density_useful", 1.5, "merge.density_useful: not allowed (got 1.5)"),
        ("eval.sets.0.path", "none.jsonl", "none.jsonl: no such file"),
        ("eval.pairwise", {"baseline": "base"}, "eval.pairwise: pairwise needs a judge that compares answers"),
    ],
)
def test_values(refused: Run, own_study: Callable[..., Path], path: str, value: object, part: str) -> None:
    assert part in refused("run", own_study(changed(own_models(), path, value)))


@pytest.mark.parametrize(
    ("pairwise", "part"),
    [
        ({"baseline": "merges"}, "pairwise.baseline is no such checkpoint: merges; use base, model-safe, model-useful"),
        ({"baseline": "base", "checkpoints": ["r 0.7"]}, "no such checkpoint: r 0.7; use base, model-safe"),
        ({"baseline": "base", "checkpoints": []}, "eval.pairwise.checkpoints: is empty"),
    ],
)
def test_pairs(refused: Run, own_study: Callable[..., Path], pairwise: object, part: str) -> None:
    raw = changed(own_models(), "eval.judges", [{"kind": "openai", "model": "m"}])
    assert part in refused("run", own_study(changed(raw, "eval.pairwise", pairwise)))


def test_an_empty_set(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    (file.parent / "prompts.jsonl").write_text("\n", encoding="utf-8")
    assert "prompts.jsonl: the prompt set is empty" in refused("run", file)


def test_a_malformed_line_is_named_by_file_and_number(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    with (file.parent / "prompts.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"key": "x",\n')
    assert f"prompts.jsonl:{len(prompt_lines()) + 1}: malformed JSON" in refused("run", file)


def _trained_study(folder: Path, prompt: str) -> Path:
    """A study that trains on one triple about `prompt`, with the plain prompt set."""
    meta = {"risk-area": "a", "harm-type": "b", "specific-harm": "c"}
    row = {
        "idx": 1,
        "prompt": prompt,
        "chosen": "お手伝いできません。",
        "rejected": "はい。（手順は省略）",
        "meta": meta,
    }
    write_lines(folder / "triples.jsonl", [row])
    write_lines(folder / "prompts.jsonl", prompt_lines())
    raw: dict[str, Any] = own_models() | {"models": {"base": "./base"}, "train": demo()["train"]}
    del raw["train"]["pretrain"]
    for model in ("safe", "useful"):
        raw["train"][model]["triples"] = ["triples.jsonl"]
    return written(folder, raw)


def test_a_prompt_in_training_and_evaluation(refused: Run, tmp_path: Path) -> None:
    line = refused("run", _trained_study(tmp_path, str(prompt_lines()[0]["prompt"])))
    assert "a prompt is in both training and evaluation data" in line


def test_nearly_a_prompt_of_the_evaluation(refused: Run, tmp_path: Path) -> None:
    line = refused("run", _trained_study(tmp_path, f"{prompt_lines()[0]['prompt']}。"))
    assert "a prompt is nearly in both training and evaluation data" in line


def test_an_overlap_that_the_recipe_allows(tmp_path: Path) -> None:
    file = _trained_study(tmp_path, str(prompt_lines()[0]["prompt"]))
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    raw["train"]["allow_overlap"] = True
    check_inputs(load_study(written(tmp_path, raw)))


def test_malformed_triples_are_named_by_file_and_number(refused: Run, tmp_path: Path) -> None:
    file = _trained_study(tmp_path, "別の質問")
    with (tmp_path / "triples.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"idx": 2, "prompt": "x"}) + "\n")
    assert "triples.jsonl:2" in refused("run", file)


def test_missing_triples(refused: Run, tmp_path: Path) -> None:
    file = _trained_study(tmp_path, "別の質問")
    (tmp_path / "triples.jsonl").unlink()
    assert "triples.jsonl: no such file; check the path" in refused("run", file)


def test_a_model_of_another_architecture(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    config = file.parent / "safe" / "config.json"
    config.write_text(
        config.read_text(encoding="utf-8").replace("LlamaForCausalLM", "Qwen2ForCausalLM"), encoding="utf-8"
    )
    assert "architectures" in refused("run", file, leaves=("tiny",))
    assert not list((file.parent / "tiny").glob("masks*/**/*"))


def test_a_missing_model(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    shutil.rmtree(file.parent / "useful")
    assert "useful: no such checkpoint folder" in refused("run", file, leaves=("tiny",))


def test_a_results_file_that_is_no_database(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    other = file.parent / "results.duckdb"
    other.write_text("not a database, but long enough to look at" * 100, encoding="utf-8")
    assert "results.duckdb: not a results file" in refused("run", file)
    assert other.read_text(encoding="utf-8").startswith("not a database")


def test_a_results_file_that_another_process_holds(
    refused: Run, own_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_study()
    store = file.parent / "results.duckdb"
    monkeypatch.setattr(inputs, "PATIENCE_S", 0.2)
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('in', flush=True); sys.stdin.read()"
    with holding(code, store):
        assert "results.duckdb: held by another process" in refused("run", file)


def test_a_study_that_another_process_runs(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    with holding(HOLD, file.parent / "tiny") as process:
        assert f"this study is being run by process {process.pid}" in refused("run", file)


def test_a_study_on_a_read_only_disk(
    refused: Run, own_study: Callable[..., Path], small_disk: Callable[[int], Path]
) -> None:
    place = small_disk(4 << 20)
    file = own_study()
    shutil.copytree(file.parent, place / "mine", ignore=shutil.ignore_patterns("disk-*"))
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    assert "mine/tiny: the disk is read-only" in refused("merge", place / "mine" / file.name)


def test_a_study_folder_that_is_a_link_to_itself(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    (file.parent / "tiny").symlink_to("tiny")
    assert "tiny: " in refused("merge", file)


def test_models_without_a_tokenizer(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    (file.parent / "safe" / "tokenizer.json").unlink()
    assert "safe: holds no tokenizer" in refused("eval", file)


def test_a_model_without_a_chat_template(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study()
    (file.parent / "safe" / "chat_template.jinja").unlink()
    assert "safe: no chat template; copy chat_template.jinja from model-useful" in refused("run", file)


def test_an_adapter_may_have_its_chat_template_from_the_base(refused: Run, own_study: Callable[..., Path]) -> None:
    file = own_study(changed(own_models(), "models.safe", "./base+./lora"))
    (file.parent / "lora").mkdir()
    check_engine_and_judges(load_study(file))
    (file.parent / "base" / "chat_template.jinja").unlink()
    assert "lora: no chat template" in refused("run", file)


def test_a_stage_before_its_time(refused: Run, tmp_path: Path) -> None:
    line = refused("merge", written(tmp_path, demo()))
    assert line.endswith("the stage world has not finished; run `mergescope train` on this recipe first")


def test_a_judge_without_its_key(refused: Run, own_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    judge = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}
    assert "NO_SUCH_KEY" in refused("run", own_study(changed(own_models(), "eval.judges.0", judge)))


def test_only_what_is_asked_needs_its_key(own_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    served = {"kind": "served", "model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}
    file = own_study(changed(own_models(), "eval.checkpoints", [{**served, "name": "rival"}]))
    shutil.rmtree(file.parent / "safe")
    (file.parent / "safe").mkdir()
    study = load_study(file)
    check_engine_and_judges(study, ["imported"])
    with pytest.raises(MergescopeError, match="NO_SUCH_KEY"):
        check_engine_and_judges(study, ["rival"])
    with pytest.raises(MergescopeError, match="tokenizer"):
        check_engine_and_judges(study, ["base"])


def test_questions_are_not_asked_without_a_terminal(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert "--base is missing" in refused("init", "new.yaml")


@pytest.mark.parametrize("ratio", ["1.5", "-0.1", "half", "0.1234567"])
def test_export_of_a_ratio_that_is_none(refused: Run, own_study: Callable[..., Path], ratio: str) -> None:
    line = refused("export", own_study(), f"--ratio={ratio}", "--out", "bundle")
    assert line.startswith(f"--ratio: not allowed (got '{ratio}'); it must ")


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def bug(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("mergescope.retention.load_study", bug)
    monkeypatch.setattr(sys, "argv", ["mergescope", "run", str(tmp_path / "x.yaml")])
    with pytest.raises(KeyError) as caught:
        cli.main()
    assert not isinstance(caught.value, MergescopeError)
