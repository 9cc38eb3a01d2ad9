"""`mergescope data check` and `data import`: what they print, what they write, and their exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergescope import cli
from tests.mergescope.conftest import prompt_lines, write_lines
from tests.mergescope.recipes import demo, own_models, written
from tests.public_data import public_file
from trainer.tokenizer import train_tokenizer

Run = Callable[..., tuple[int, str, str]]
META = {"risk-area": "悪用", "harm-type": "違法行為への加担", "specific-harm": "テロリズム"}
ROW: dict[str, Any] = {"idx": 1, "prompt": "別の質問", "chosen": "よい答え", "rejected": "悪い答え", "meta": META}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns its exit code, and what it printed and complained of."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mergescope", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return command


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study that trains on `triples.jsonl`; its base is a folder that holds a tokenizer."""
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())
    (tmp_path / "base").mkdir()
    train_tokenizer(["別の質問です。よい答え。悪い答え。"] * 4, 128).save_pretrained(tmp_path / "base")
    raw: dict[str, Any] = own_models() | {"models": {"base": "./base"}, "train": demo()["train"]}
    del raw["train"]["pretrain"]
    for model in ("safe", "useful"):
        raw["train"][model]["triples"] = ["triples.jsonl"]
    return written(tmp_path, raw)


def test_a_good_file(run: Run, tmp_path: Path) -> None:
    code, out, err = run("check", lines(tmp_path / "a.jsonl", {**ROW, "licence": "MIT"}))
    assert (code, err) == (0, "")
    said = out.splitlines()
    assert said[0] == f"{tmp_path / 'a.jsonl'}: 1 triples"
    assert "  1 from ?, licence MIT, made by ?" in said
    assert "overlap: not looked for; --study or --held-out says what is evaluated" in said
    assert any(line.startswith("lengths in characters") for line in said)
    assert "coverage: 1 of 12 harm types, 1 of 64 harms" in said
    assert said[-1] == "nothing here stops a training"
    assert "答え" not in out


def test_all_that_is_wrong_is_said_and_the_exit_code_is_1(run: Run, tmp_path: Path) -> None:
    bad = lines(tmp_path / "a.jsonl", ROW, {**ROW, "idx": 2, "prompt": 3}, {**ROW, "idx": 3, "chosen": ""})
    code, out, _ = run("check", bad, lines(tmp_path / "b.jsonl", ROW), tmp_path / "none.jsonl")
    assert code == 1
    assert f"  {bad}:2: prompt: a number, not a text (got 3); write a text" in out
    assert f"  {bad}:3: chosen: nothing to be seen in it; write a text that is not empty" in out
    assert f"  {tmp_path / 'none.jsonl'}: no such file; check the path" in out
    assert "  idx stands in 2 of the files (got '1'); give each triple its own" in out
    assert out.splitlines()[-1] == "4 findings would stop a training: mend them"


def test_a_study_gives_evaluation_tokenizer_and_limit(run: Run, study: Path, tmp_path: Path) -> None:
    asked = str(prompt_lines()[0]["prompt"])
    file = lines(tmp_path / "triples.jsonl", ROW, {**ROW, "idx": "same", "prompt": asked})
    lines(tmp_path / "long.jsonl", {**ROW, "idx": "long", "prompt": "別の" * 2000})
    code, out, _ = run("check", "--study", study)
    assert code == 1
    assert f"{file}: 2 triples" in out
    assert f"  same: equal to {asked!r}" in out
    assert "lengths in tokens\n" in out
    raw = yaml.safe_load(study.read_text(encoding="utf-8"))
    raw["train"]["allow_overlap"] = True
    study.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    code, out, _ = run("check", "--study", study)
    assert code == 0
    assert "1 triples, and 0 nearly; the study allows it" in out
    code, out, _ = run("check", "--study", study, tmp_path / "long.jsonl")
    assert code == 1
    assert "1 longer than max_length" in out
    assert "  long\n" in out


def test_files_of_two_trainings_may_share_names_and_have_own_limits(run: Run, study: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(study.read_text(encoding="utf-8"))
    raw["train"]["safe"] |= {"triples": ["triples.jsonl"], "max_length": 16}
    raw["train"]["useful"] |= {"triples": ["others.jsonl"], "max_length": 4096}
    study.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    short, long = lines(tmp_path / "triples.jsonl", ROW), lines(tmp_path / "others.jsonl", ROW)
    assert run("check", "--study", study)[0] == 0
    assert run("check", "--study", study, short, long)[0] == 1
    lines(long, {**ROW, "prompt": "別の" * 100})
    assert run("check", "--study", study)[0] == 0
    assert (
        "1 longer than max_length" in run("check", "--study", study, lines(short, {**ROW, "prompt": "別の" * 100}))[1]
    )


def test_held_out_prompts_of_other_files(run: Run, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", ROW)
    code, out, _ = run(
        "check", file, "--held-out", lines(tmp_path / "b.jsonl", {**ROW, "idx": 7, "prompt": "別の質問 "})
    )
    assert code == 1
    assert "overlap with 1 held-out prompts: 1 triples, and 0 nearly" in out
    prompts = lines(tmp_path / "p.jsonl", {"key": "a", "kind": "benign", "prompt": "こんにちは"})
    assert run("check", file, "--held-out", prompts)[0] == 0
    code, _, err = run("check", file, "--held-out", lines(tmp_path / "q.jsonl", {"q": "別の質問"}))
    assert code == 2
    assert "q.jsonl: neither triples nor a known form of prompts" in err


def test_as_json(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check", "--json", lines(tmp_path / "a.jsonl", ROW, {**ROW, "idx": 2}))
    found = json.loads(out)
    assert (code, found["stops"], found["report"]["triples"]) == (0, 0, 2)
    assert found["report"]["repeats"] == [{"kind": "triple", "idx": "2", "earlier": "1", "similarity": 1.0}]
    assert "答え" not in out


def test_nothing_to_check(run: Run) -> None:
    code, _, err = run("check")
    assert code == 2
    assert "no files to check; name files of triples, or a study" in err


def test_import_writes_triples_that_the_check_reads(run: Run, tmp_path: Path) -> None:
    rows = [{"q": f"質問{n}", "a": "よい", "b": "悪い"} for n in range(3)] + [{"q": "質問", "a": "よい", "b": "よい"}]
    given = lines(tmp_path / "given.jsonl", *rows)
    names = ["--column", "prompt=q", "--column", "chosen=a", "--column", "rejected=b"]
    code, out, err = run("import", "trl", given, "out.jsonl", *names, "--licence", "CC0-1.0", "--made-by", "people")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "out.jsonl: 3 triples of TRL's preference form, licence CC0-1.0",
        f"  1 left out: chosen and rejected are equal (first: {given}:4)",
        "now look at it: mergescope data check out.jsonl",
    ]
    code, out, _ = run("check", "out.jsonl")
    assert code == 0
    assert "  3 from given.jsonl, licence CC0-1.0, made by people" in out
    assert "        3         about no harm, or not sorted" in out


def test_answercarefully_is_not_to_be_passed_on(run: Run, tmp_path: Path) -> None:
    given = lines(tmp_path / "own.jsonl", {"ID": "A-1", "text": "質問", "output": "よい", **META})
    code, out, _ = run("import", "answercarefully", given, "out.jsonl")
    assert code == 0
    assert "1 questions of AnswerCarefully (v2.0), licence LicenseRef-AnswerCarefully" in out
    assert "may not be passed on, and neither may this file" in out
    assert "name the file in `data.make.questions`" in out
    code, out, _ = run("check", "out.jsonl")
    assert code == 1
    assert "questions become triples by `mergescope data make`" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["xml", "given.jsonl", "out.jsonl"], "FORM: no such form (got 'xml'); use one of answercarefully"),
        (["trl", "none.jsonl", "out.jsonl"], "neither a file, a folder nor a Hub id (got 'none.jsonl')"),
        (["trl", "given.jsonl", "given.jsonl"], "given.jsonl: is there already; remove it"),
        (["trl", "given.jsonl", "out.jsonl", "--column", "prompt"], "--column: not a column (got 'prompt'); write it"),
        (["trl", "given.jsonl", "out.jsonl", "--config", "x"], "--config: a file has none (got 'x')"),
        (["hh-rlhf", "given.jsonl", "out.jsonl"], "given.jsonl:1: `chosen` is no transcript of Human: and Assistant:"),
    ],
)
def test_imports_that_cannot_be(run: Run, tmp_path: Path, arguments: list[str], complaint: str) -> None:
    lines(tmp_path / "given.jsonl", {"prompt": "質問", "chosen": "よい", "rejected": "悪い"})
    code, out, err = run("import", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_instruction_ja_from_its_file_to_its_report(run: Run) -> None:
    code, out, _ = run("import", "instruction-ja", public_file("instruction_ja/data.jsonl"), "out.jsonl")
    assert code == 0
    assert "664 triples of instruction_ja, licence MIT" in out
    code, out, _ = run("check", "out.jsonl", "--held-out", public_file("xstest/xstest_prompts.csv"))
    assert code == 0
    assert "overlap with 450 held-out prompts: 0 triples, and 0 nearly" in out
