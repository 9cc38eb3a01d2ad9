"""Records of each published form become triples, and what cannot is left out with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.formats.reading import read_records
from eval.formats.record import Record
from mergescope.ground.errors import DataError
from tests.public_data import public_file
from trainer.data.importers.catalogue import FORMS
from trainer.data.importing import Imported, Origin, imported
from trainer.taxonomy.categories import NO_HARM

ORIGIN = Origin("set", "the source", "MIT", "people")
GENERAL = {"risk-area": NO_HARM, "harm-type": NO_HARM, "specific-harm": NO_HARM}


def read(form: str, *rows: dict[str, Any], **columns: str) -> Imported:
    records = [Record(Path("set.jsonl"), f"line {number}", row) for number, row in enumerate(rows, 1)]
    return imported(records, FORMS[form], ORIGIN, columns)


def only(found: Imported) -> dict[str, Any]:
    (line,) = found.lines
    fields: dict[str, Any] = json.loads(line)
    return fields


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "親切に答える。"}
TEXTS = {"prompt": "質問", "chosen": "よい", "rejected": "悪い"}


@pytest.mark.parametrize(
    "row",
    [
        TEXTS,
        {"prompt": [user("質問")], "chosen": [assistant("よい")], "rejected": [assistant("悪い")]},
        {"prompt": "質問", "chosen": [assistant("よい")], "rejected": [assistant("悪い")]},
        {"prompt": "質問", "chosen": [user("質問"), assistant("よい")], "rejected": [user("質問"), assistant("悪い")]},
        {"prompt": [user("質問")], "chosen": "よい", "rejected": "悪い"},
        {"chosen": [user("質問"), assistant("よい")], "rejected": [user("質問"), assistant("悪い")]},
        {
            **TEXTS,
            "prompt": None,
            "chosen": [user("質問"), assistant("よい")],
            "rejected": [user("質問"), assistant("悪い")],
        },
    ],
)
def test_every_way_of_trls_form_is_one_triple(row: dict[str, Any]) -> None:
    said = only(read("trl", row))
    said_of_set = {"source": "the source", "licence": "MIT", "made_by": "people", "meta": GENERAL}
    assert said == {"idx": "set-1", **TEXTS, **said_of_set}


def test_a_system_message_is_left_out_and_counted() -> None:
    row = {"prompt": [SYSTEM, user("質問")], "chosen": [assistant("よい")], "rejected": [assistant("悪い")]}
    found = read("trl", row)
    assert only(found)["prompt"] == "質問"
    assert dict(found.notes) == {"has a system message, which a triple cannot hold": 1}


def test_columns_of_other_names() -> None:
    row = {"id": "x", "question": "質問", "better": "よい", "worse": "悪い"}
    said = only(read("trl", row, prompt="question", chosen="better", rejected="worse"))
    assert (said["idx"], said["prompt"], said["chosen"], said["rejected"]) == ("set-x", "質問", "よい", "悪い")


@pytest.mark.parametrize(
    ("form", "row", "reason"),
    [
        ("trl", {"chosen": "a", "rejected": "b"}, "`prompt` is missing, and the answers are no conversations"),
        ("trl", {**TEXTS, "chosen": None}, "`chosen` is missing"),
        ("trl", {**TEXTS, "rejected": " "}, "`rejected` is not a string with text in it"),
        ("trl", {**TEXTS, "rejected": "よい"}, "chosen and rejected are equal"),
        ("trl", {**TEXTS, "chosen": []}, "`chosen` is neither a text nor a list of messages"),
        ("trl", {**TEXTS, "chosen": ["よい"]}, "`chosen` is neither a text nor a list of messages"),
        ("trl", {**TEXTS, "chosen": [{"role": "assistant"}]}, "a message of `chosen`: `content` is missing"),
        ("trl", {**TEXTS, "chosen": [user("質問"), user("よい")]}, "`chosen` does not end with the assistant"),
        (
            "trl",
            {"chosen": [user("a"), assistant("b")], "rejected": [user("c"), assistant("d")]},
            "chosen and rejected answer different prompts",
        ),
        ("trl", {**TEXTS, "prompt": [user("a"), assistant("b"), user("c")]}, "several turns"),
        ("hh-rlhf", {"chosen": "よい", "rejected": "悪い"}, "`chosen` is no transcript of Human: and Assistant:"),
        (
            "hh-rlhf",
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
            "chosen and rejected answer different prompts",
        ),
        (
            "hh-rlhf",
            {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "rejected": "\n\nHuman: a"},
            "several turns",
        ),
        (
            "hh-rlhf",
            {"chosen": "\n\nHuman: a\n\nAssistant:", "rejected": "\n\nHuman: a\n\nAssistant: b"},
            "nothing to be",
        ),
        ("instruction-ja", {"id": "a", "utterances": []}, "no dialogue of one user's and one agent's turn"),
        ("answercarefully", {"ID": "a", "text": "質問"}, "`output` is missing"),
    ],
)
def test_what_becomes_no_triple_says_why(form: str, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        read(form, row)
    assert caught.value.what.startswith(reason)
    assert caught.value.cure
    assert str(caught.value.where).startswith("set.jsonl:1")


def test_left_out_records_are_counted_and_the_first_is_named() -> None:
    bad = {**TEXTS, "rejected": "よい"}
    found = read("trl", bad, TEXTS, bad, {**TEXTS, "idx": 2}, {**TEXTS, "idx": 2})
    assert [json.loads(line)["idx"] for line in found.lines] == ["set-2"]
    assert dict(found.left_out) == {"chosen and rejected are equal": 2, "its name stands twice": 2}
    assert found.first["chosen and rejected are equal"].where == "set.jsonl:1"
    assert found.first["its name stands twice"].where == "set.jsonl:4"


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"no such column.*got 'question'.*it has prompt, chosen, rejected"):
        read("trl", TEXTS, prompt="question")


def test_no_records_at_all() -> None:
    with pytest.raises(DataError, match="holds no records"):
        read("trl")


def test_hh_rlhf_transcripts() -> None:
    start = "\n\nHuman: What is it?\nSay it.\n\nAssistant: "
    said = only(read("hh-rlhf", {"chosen": f"{start}A pear.", "rejected": f"{start}Human: no.\n\nReally."}))
    assert said["prompt"] == "What is it?\nSay it."
    assert (said["chosen"], said["rejected"]) == ("A pear.", "Human: no.\n\nReally.")


LEVELS = {"risk-area": "悪用", "harm-type": "違法行為への加担", "specific-harm": "テロリズム"}


@pytest.mark.parametrize(
    ("form", "row", "meta", "kind"),
    [
        ("answercarefully", LEVELS, LEVELS, "harmful"),
        ("answercarefully", {"meta": LEVELS}, LEVELS, "harmful"),
        ("answercarefully-borderline", {"risk-area": "悪用"}, {**GENERAL, "risk-area": "悪用"}, "borderline"),
        ("answercarefully-borderline", {}, GENERAL, "borderline"),
    ],
)
def test_answercarefully_becomes_questions(form: str, row: dict[str, Any], meta: dict[str, str], kind: str) -> None:
    found = read(form, {"ID": "A-1", "text": "質問", "output": "よい", **row})
    said = only(found)
    assert found.questions == 1
    assert "rejected" not in said
    assert (said["kind"], said["meta"], said["prompt"], said["chosen"]) == (kind, meta, "質問", "よい")


def test_instruction_ja_gives_its_664_pairs() -> None:
    found = imported(
        read_records(public_file("instruction_ja/data.jsonl")),
        FORMS["instruction-ja"],
        Origin("", "s", "MIT", None),
        {},
    )
    assert len(found.lines) == 664
    assert dict(found.left_out) == {"chosen and rejected are equal": 5}
    first = json.loads(found.lines[0])
    assert first["idx"] == "instruction_ja.000232"
    assert first["prompt"] == "タバコを吸うのは悪いことですか？"
    assert first["chosen"].startswith("喫煙のリスクはメディアで広く報道されており")
    assert first["rejected"].startswith("喫煙のリスクはメディアで広く報告されており")
