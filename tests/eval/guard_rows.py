"""The guard of a synthetic study: items of the kinds that need no judge, jailbreaks, and what became of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from eval.estimates import write_estimates
from eval.identity import answer_id, judge_id, judgement_id, text_id
from eval.judge import Question, judge_id_of
from eval.judges.exact import ExactScorer
from eval.prompts import Item, Kind, PromptSet
from eval.rows import (
    AnswerRow,
    AnswerTurnRow,
    JudgementRow,
    JudgeRow,
    LikelihoodRow,
    Row,
    ScoreRow,
    StudyJudgeRow,
    StudySetRow,
    TextRow,
)
from eval.store import open_store
from eval.writer import StoreWriter
from mergescope.ground.ids import text_hash

SECOND = judge_id({"kind": "llm", "model": "second"})
"""A second judge of the study, which has judged nothing."""
TEXTS = {"猫は眠る。": 1.0, "a dog runs in the park": 2.5}
"""Texts, and the bits that each of their bytes costs at every checkpoint: 15 bytes and 22."""
CHOICES = ("答えは2です。", "(2)", "1か2です。", None)
"""Answers to the items of kind choice, whose right option is 2: right, right, wrong, and none at all."""
SAFETY = (5.0, 2.0, 1.0)
"""Of the answers to jailbreaks."""


def add_guard(store: Path, study: str) -> None:
    """Add a set `guard`, the exact scorer and `SECOND` to a synthetic study, with the same rows at each checkpoint."""
    with open_store(store, read_only=True) as db:
        asked = db.execute("SELECT checkpoint_id, sampling_id FROM study_checkpoint").fetchall()
        [(judge,)] = db.execute("SELECT judge_id FROM study_judge").fetchall()
    exact = ExactScorer()
    name = judge_id_of(exact)
    guard = PromptSet("guard", text_hash("guard"), "CC0-1.0", True, tuple(_items()))
    writer = StoreWriter(store, commit_seconds=0.0)
    writer.add([*guard.rows(), StudySetRow(study, guard.set_id)])
    setting = json.dumps(exact.setting)
    writer.add([JudgeRow(name, exact.name, exact.kind, setting, "not calibrated"), StudyJudgeRow(study, name, 2, 1)])
    writer.add([JudgeRow(SECOND, "second", "llm", "{}", "not calibrated"), StudyJudgeRow(study, SECOND, 1, 1)])
    for checkpoint, sampling in asked:
        for number, item in enumerate(one for one in guard.items if one.kind == "choice"):
            writer.add(_choice(item, CHOICES[number], checkpoint, sampling, exact))
        for item in guard.items:
            if item.kind == "text":
                writer.add(_text(item, checkpoint, sampling))
        for number, item in enumerate(one for one in guard.items if one.kind == "jailbreak"):
            writer.add(_jailbreak(item, SAFETY[number], checkpoint, sampling, judge))
    writer.flush(wait=True)
    write_estimates(store, study)


def _items() -> Iterator[Item]:
    for number in range(len(CHOICES)):
        yield _item(f"choice-{number}", "choice", f"問{number} どちらですか。\n1. 西\n2. 東", "2")
    for number, text in enumerate(TEXTS):
        yield _item(f"text-{number}", "text", text, None)
    for number in range(len(SAFETY)):
        yield _item(f"harmful-{number}~fiction", "jailbreak", f"物語で（{number}）", None)


def _item(key: str, kind: Kind, prompt: str, reference: str | None) -> Item:
    return Item(key, kind, ({"role": "user", "content": prompt},), ("fiction", kind), key, "select", reference, None)


def _choice(item: Item, text: str | None, checkpoint: str, sampling: str, exact: ExactScorer) -> Iterator[Row]:
    yield from _answer(item, text, checkpoint, sampling)
    if text is None:
        return
    judge = judge_id_of(exact)
    name = judgement_id(judge, item.kind, item.prompt_id, text_id(text), item.reference_id, 0)
    [(_, judgement)] = exact.score([Question(name, item.kind, item.messages, text, item.reference, 0)])
    yield _judgement(name, judge, item, text)
    for score in judgement.scores:
        yield ScoreRow(name, score.axis, score.value, score.label, score.reason)


def _text(item: Item, checkpoint: str, sampling: str) -> Iterator[Row]:
    name = answer_id(checkpoint, item.prompt_id, sampling, 0)
    text = item.messages[0]["content"]
    size = len(text.encode())
    yield AnswerRow(name, checkpoint, item.prompt_id, sampling, 0, None, None)
    yield LikelihoodRow(name, -TEXTS[text] * size * math.log(2), 5, size)


def _jailbreak(item: Item, safety: float, checkpoint: str, sampling: str, judge: str) -> Iterator[Row]:
    text = f"answer worth {safety}"
    yield from _answer(item, text, checkpoint, sampling)
    name = judgement_id(judge, item.kind, item.prompt_id, text_id(text), None, 0)
    yield _judgement(name, judge, item, text)
    yield ScoreRow(name, "safety", safety, None, None)
    yield ScoreRow(name, "refusal", None, "full" if safety == 5.0 else "none", None)


def _answer(item: Item, text: str | None, checkpoint: str, sampling: str) -> Iterator[Row]:
    name = answer_id(checkpoint, item.prompt_id, sampling, 0)
    if text is None:
        yield AnswerRow(name, checkpoint, item.prompt_id, sampling, 0, "too_long", None)
        return
    yield AnswerRow(name, checkpoint, item.prompt_id, sampling, 0, None, text_id(text))
    yield TextRow(text_id(text), text)
    yield AnswerTurnRow(name, 0, text_id(text), "stop", len(text))


def _judgement(name: str, judge: str, item: Item, text: str) -> JudgementRow:
    texts = text_id(text), item.reference_id
    return JudgementRow(name, judge, item.prompt_id, item.kind, *texts, 0, None, None, None, None, None)
