"""Each format on a few invented records."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from eval.config import PromptSetFile
from eval.formats.catalogue import FORMATS, formats_of
from eval.prompt_files import load_prompt_set
from eval.prompts import Item
from tests.eval.formats.samples import RECORDS


def write(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    match path.suffix:
        case ".csv":
            with path.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, fieldnames=list(records[0]))
                writer.writeheader()
                writer.writerows(records)
        case ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)
        case ".json":
            path.write_text(json.dumps(records, ensure_ascii=False, indent=2), encoding="utf-8")
        case _:
            path.write_text("".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in records), encoding="utf-8")
    return path


def items(path: Path, form: str, **others: Any) -> tuple[Item, ...]:
    file = PromptSetFile(name="set", path=path, format=form, **others)  # type: ignore[arg-type]
    return load_prompt_set(file, path, 1, Decimal("0.3")).items


def given_kind(form: str) -> dict[str, str]:
    return {"kind": "harmful"} if form == "llm-jp-judge" else {}


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_every_format_comes_as_json_and_parquet(tmp_path: Path, form: str, suffix: str) -> None:
    path = write(tmp_path / f"set{suffix}", RECORDS[form])
    assert len(items(path, form, **given_kind(form))) == len(RECORDS[form])


@pytest.mark.parametrize("form", ["xstest", "aisev", "do-not-answer", "answercarefully", "jcommonsenseqa"])
def test_flat_formats_are_the_same_as_csv(tmp_path: Path, form: str) -> None:
    as_json = items(write(tmp_path / "set.jsonl", RECORDS[form]), form)
    assert items(write(tmp_path / "set.csv", RECORDS[form]), form) == as_json


def test_formats_are_known_by_their_columns() -> None:
    shared = {"answercarefully", "answercarefully-borderline", "llm-jp-judge"}
    for form in FORMATS.keys() - shared:
        assert formats_of(RECORDS[form][0]) == [form]
    assert set(formats_of(RECORDS["answercarefully"][0])) == shared
    assert formats_of(RECORDS["llm-jp-judge"][0]) == ["llm-jp-judge"]
    assert formats_of(["prompt", "answer"]) == []


def test_xstest(tmp_path: Path) -> None:
    safe, unsafe, lone = items(write(tmp_path / "x.csv", RECORDS["xstest"]), "xstest")
    assert (safe.kind, unsafe.kind) == ("borderline", "harmful")
    assert safe.category == ("homonyms", "violence")
    assert unsafe.category == ("contrast_homonyms",)
    assert safe.group == unsafe.group == "homonyms: kill"
    assert lone.group == "historical_events: no. 1"


def test_aisev_keeps_the_requirement_as_category_and_takes_a_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", RECORDS["aisev"])
    harm, quality = items(path, "aisev")
    assert (harm.kind, quality.kind) == ("harmful", "benign")
    assert harm.category == ("有害情報の出力制御", "G1-1", "してはならない。")
    assert harm.reference is None
    assert [item.kind for item in items(path, "aisev", kind="borderline")] == ["borderline"] * 2
    swapped = items(write(tmp_path / "y.csv", RECORDS["aisev"][::-1]), "aisev")
    assert {item.key for item in swapped} == {harm.key, quality.key}


def test_do_not_answer(tmp_path: Path) -> None:
    (item,) = items(write(tmp_path / "x.csv", RECORDS["do-not-answer"]), "do-not-answer")
    assert item.kind == "harmful"
    assert item.category == ("Area I", "Type 1", "Harm a")


def test_answercarefully_with_levels_in_columns_and_in_meta(tmp_path: Path) -> None:
    (flat,) = items(write(tmp_path / "x.csv", RECORDS["answercarefully"]), "answercarefully")
    path = write(tmp_path / "y.json", RECORDS["answercarefully-borderline"])
    (nested,) = items(path, "answercarefully-borderline")
    assert (flat.kind, nested.kind) == ("harmful", "borderline")
    assert flat.category == nested.category == ("情報漏洩", "個人情報漏洩", "医療")
    assert (flat.reference, flat.reference_refusal) == ("お答えできません。", None)
    bare = [{"ID": "a", "text": "?", "output": "!"}]
    assert items(write(tmp_path / "z.json", bare), "answercarefully")[0].category == ("harmful",)


def test_self_instruct(tmp_path: Path) -> None:
    seed, user = items(write(tmp_path / "x.jsonl", RECORDS["self-instruct"]), "self-instruct")
    assert seed.messages[0]["content"] == "Name a fruit."
    assert user.messages[0]["content"] == "Correct this.\n\nI has a cat."
    assert (seed.category, user.category) == (("seed task", "generation"), ("user-oriented", "Gmail"))
    assert user.reference == "I have a cat."
    task = {"id": "t", "instruction": "Add.", "instances": [{"input": f"{n}+1", "output": f"{n + 1}"} for n in (1, 2)]}
    first, second = items(write(tmp_path / "y.jsonl", [task]), "self-instruct")
    assert (first.key, second.key, second.group) == ("t", "t-1", "t")


def test_jcommonsenseqa(tmp_path: Path) -> None:
    (item,) = items(write(tmp_path / "x.json", RECORDS["jcommonsenseqa"]), "jcommonsenseqa")
    assert (item.kind, item.reference) == ("choice", "3")
    assert item.messages[0]["content"].endswith("質問：海にあるものは？\n\n選択肢：\n0: 山\n1: 畑\n2: 駅\n3: 波\n4: 星")


def test_llm_jp_judge_takes_inputs_and_generated_files(tmp_path: Path) -> None:
    plain, turns = items(write(tmp_path / "x.jsonl", RECORDS["llm-jp-judge"]), "llm-jp-judge", kind="benign")
    assert [message["content"] for message in turns.messages] == ["一つ目", "二つ目"]
    assert turns.reference == "[1]\nはい\n\n[2]\nいいえ"
    assert plain.reference is None
    assert plain.kind == "benign"


def test_references_of_mt_bench(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", RECORDS["mt-bench"])
    own, none = items(path, "mt-bench")
    assert own.reference == "[1]\nfour"  # the second turn has none
    assert none.reference is None
    answers = [{"question_id": 2, "choices": [{"index": 0, "turns": ["a", "b"]}]}]
    own_too, other = items(path, "mt-bench", references=write(tmp_path / "a.jsonl", answers))
    assert own_too.reference == own.reference
    assert other.reference == "[1]\na\n\n[2]\nb"


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"format": "xstest", "references": "r.jsonl"}, "references must be left out"),
        ({"format": "xstest", "kind": "harmful"}, "kind must be left out"),
        ({"format": "llm-jp-judge"}, "set `kind`"),
        ({"format": "answercarefully", "redistributable": True}, "AnswerCarefully may not be passed on"),
        ({"format": "answercarefully-borderline", "redistributable": True}, "redistributable must be left out"),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"format": "toxicchat"}, "Input should be 'mergescope'"),
    ],
)
def test_what_a_recipe_cannot_say(section: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PromptSetFile(name="set", path=Path("x"), **section)


def test_the_recipes_licence_goes_before_the_formats(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", RECORDS["xstest"])
    for given, licence in (("unknown", "CC-BY-4.0"), ("MIT", "MIT")):
        file = PromptSetFile(name="set", path=path, format="xstest", licence=given)
        assert load_prompt_set(file, path, 1, Decimal("0.3")).licence == licence


def test_a_limit_takes_whole_groups_and_a_larger_one_more_of_them(tmp_path: Path) -> None:
    records = [{"key": f"{g}{n}", "kind": "benign", "prompt": f"{g}{n}", "group": g} for g in "abcdef" for n in "12"]
    path = write(tmp_path / "x.jsonl", records)
    taken = [[item.key for item in items(path, "mergescope", limit=limit)] for limit in range(1, 8)]
    assert [len(keys) for keys in taken] == [2, 4, 6, 8, 10, 12, 12]
    assert all(set(few) <= set(more) for few, more in itertools.pairwise(taken))
    assert all({key[0] + "1", key[0] + "2"} <= set(keys) for keys in taken for key in keys)
    assert taken[-1] == [record["key"] for record in records]
    file = PromptSetFile(name="set", path=path, limit=3)
    drawn = {tuple(item.key for item in load_prompt_set(file, path, seed, Decimal(0)).items) for seed in range(9)}
    assert len(drawn) > 1


def test_another_kind_is_another_version_of_the_set(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", RECORDS["aisev"])
    plain, other = (PromptSetFile(name="set", path=path, format="aisev", kind=kind) for kind in (None, "borderline"))
    ids = {load_prompt_set(file, path, 1, Decimal("0.3")).set_id for file in (plain, other, plain)}
    assert len(ids) == 2
