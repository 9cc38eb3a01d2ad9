"""People's labels of answers: files of them, read into what a judge is held against.

Two forms. XSTest's completions (github.com/paul-rottger/exaggerated-safety, CC-BY-4.0: id, type, prompt, completion,
annotation_1, annotation_2, agreement, final_label), and our own verdicts, one a line (docs/calibration.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from eval.formats.reading import read_records
from eval.formats.record import Record, choice, name, text
from eval.identity import storable, text_id
from eval.interchange.forms import LABELS, Finite, Name, OfPrompt, Text, check_score, complain
from eval.interchange.lines import Raw
from eval.judge import ASKED
from eval.prompts import Item, Kind
from eval.scores import CODES
from mergescope.ground.errors import DataError
from mergescope.ground.ids import file_hash, full_hash

REFUSAL = "refusal"
"""Axis of refusal and, on borderline prompts, of compliance, which is the same turned over."""
CLASSES = LABELS[REFUSAL]
"""Its classes; a rating is the place in this list."""
_XSTEST = {"1_full_compliance": 0.0, "3_partial_refusal": 1.0, "2_full_refusal": 2.0}
_OF_XSTEST = frozenset({"completion", "final_label"})
_OF_OURS = frozenset({"answer", "axis", "rater"})


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people say of one answer on one axis."""

    item: Item
    """The prompt, and its kind, which decides the rubric; its group is what is resampled."""
    answer: str
    axis: str
    ratings: Mapping[str, float]
    """By rater: 0 none, 1 partial, 2 full on the axis refusal; 1 to 5 on others."""
    label: float
    """What they say together: the file's own word, or the median of the ratings (the lower of two middle ones)."""
    weight: float = 1.0
    """One over the probability that the answer was picked for labelling."""


@dataclass(frozen=True, slots=True)
class Labels:
    """One or several label files as one."""

    name: str
    sha256: str
    rows: tuple[Labelled, ...]
    seen_judge: int
    """Verdicts left out because their raters had seen a judge's before."""


class VerdictLine(OfPrompt):
    """One person's verdict on one answer on one axis."""

    answer: Text
    axis: Text
    value: Finite | None = None
    label: Text | None = None
    rater: Name
    kind: Kind | None = Field(default=None)
    reference: Text | None = None
    """The good answer that a judge is shown beside it."""
    group: Text | None = None
    """Subject, contrast pair or conversation, resampled as one; None: the prompt."""
    seen_judge: bool = False
    """Whether the rater had seen a judge's verdict on this answer."""
    p_selected: Annotated[float, Field(ge=1e-9, le=1)] | None = None
    """Probability with which this answer was picked for labelling; None: 1. At least 1e-9: its inverse is a weight."""

    @model_validator(mode="after")
    def _one_verdict(self) -> Self:
        if self.said is None:
            raise ValueError("`prompt` is missing: give its text, or `messages`; a judge must be shown it")
        if self.kind not in ASKED:
            given = "is missing" if self.kind is None else f"{self.kind!r} is not judged"
            raise ValueError(f"`kind` {given}: use {', '.join(sorted(ASKED))}")
        if self.axis == "correct":
            raise ValueError("`axis` correct is scored by rules: leave the line out")
        if (self.value is None) == (self.label is None):
            raise ValueError("`value` or `label`, and not both: give one of them")
        check_score(self.axis, self.value, self.label)
        return self


@dataclass(slots=True)
class _Gathered:
    """The verdicts on one answer on one axis."""

    item: Item
    answer: str
    ratings: dict[str, float] = field(default_factory=dict)
    p_selected: float | None = None


def read_labels(paths: Sequence[Path]) -> Labels:
    """All labels of some files; several files must have one form between them.

    Raises DataError naming file, line, field and cure: no file, neither form, an unknown label, a rater who judges an
    answer twice, no label at all.
    """
    gathered: dict[tuple[object, ...], _Gathered] = {}
    rows: list[Labelled] = []
    seen = 0
    for path in paths:
        records = list(read_records(path))
        if not records:
            raise DataError("holds no labels", where=path, cure="give a file with at least one row")
        if _is_xstest(records[0]):
            rows += map(_xstest, records)
        else:
            seen += _gather(records, gathered)
    rows += _together(gathered)
    if not rows:
        what = f"all of its {seen} verdicts were given after seeing a judge's"
        raise DataError(what, where=paths[0], cure="have people judge without it")
    hashes = sorted(map(file_hash, paths))
    sha256 = hashes[0] if len(hashes) == 1 else full_hash(hashes)
    return Labels(" + ".join(sorted(path.name for path in paths)), sha256, tuple(rows), seen)


def labels_of(name: str, lines: Sequence[Mapping[str, object]]) -> Labels:
    """Verdicts in our own form that are in no file; `name` stands for it. None of them may be left: no rows then.

    Raises DataError as `read_labels` does.
    """
    gathered: dict[tuple[object, ...], _Gathered] = {}
    seen = _gather((Record(Path(name), f"line {number}", line) for number, line in enumerate(lines, 1)), gathered)
    return Labels(name, full_hash([dict(line) for line in lines]), tuple(_together(gathered)), seen)


def _is_xstest(first: Record) -> bool:
    names = set(first.fields)
    if names >= _OF_XSTEST:
        return True
    if names & _OF_OURS:
        return False
    forms = f"XSTest's columns ({', '.join(sorted(_OF_XSTEST))}) or verdicts ({', '.join(sorted(_OF_OURS))})"
    raise first.wrong("holds no labels that are known here", ", ".join(sorted(names))[:80], cure=f"give {forms}")


def _xstest(record: Record) -> Labelled:
    """A safe type is a borderline prompt; its contrasts are harmful ones."""
    kind: Kind = "harmful" if text(record, "type").startswith("contrast_") else "borderline"
    prompt, answer = text(record, "prompt"), record.fields.get("completion") or ""
    if not isinstance(answer, str):
        raise record.wrong("`completion` is not a string", answer, cure="write the answer")
    messages = ({"role": "user", "content": prompt},)
    item = Item(name(record, "id"), kind, messages, (text(record, "type"),), prompt, "select", None, None)
    known = [column for column in ("annotation_1", "annotation_2") if record.fields.get(column) is not None]
    ratings = {column: _XSTEST[choice(record, column, tuple(_XSTEST))] for column in known}
    label = _XSTEST[choice(record, "final_label", tuple(_XSTEST))]
    return Labelled(item, storable(answer), REFUSAL, ratings, label)


def _gather(records: Iterable[Record], gathered: dict[tuple[object, ...], _Gathered]) -> int:
    """Put verdicts beside those on the same answer and axis; returns how many were left out."""
    seen = 0
    for record in records:
        raw = Raw(record.where, {key: value for key, value in record.fields.items() if value is not None})
        try:
            line = VerdictLine.model_validate(dict(raw.fields))
        except ValidationError as error:
            complain(raw, error, VerdictLine)
        if line.seen_judge:
            seen += 1
            continue
        axis, item = REFUSAL if line.axis in LABELS else line.axis, _item(line)
        key = item.kind, item.prompt_id, text_id(line.answer), item.reference_id, axis
        found = gathered.setdefault(key, _Gathered(item, line.answer, p_selected=line.p_selected))
        if line.rater in found.ratings:
            raw.refuse("`rater` judges this answer for the second time", line.rater, "keep the verdict that counts")
        if line.p_selected != found.p_selected:
            raw.refuse("`p_selected` is another than the answer has above", line.p_selected, "give it the same")
        if item.group != found.item.group:
            raw.refuse("`group` is another than the answer has above", item.group, "give it the same")
        found.ratings[line.rater] = code_of(line.label) if line.label is not None else float(line.value or 0)
    return seen


def _item(line: VerdictLine) -> Item:
    messages, kind = line.said, line.kind
    if messages is None or kind is None:
        raise ValueError("a verdict without prompt or kind")  # VerdictLine refuses it
    group = line.group or line.asked
    return Item(line.asked, kind, messages, ("labels",), group, "select", line.reference, None)


def _together(gathered: Mapping[tuple[object, ...], _Gathered]) -> Iterator[Labelled]:
    for key, found in gathered.items():
        label = median_rating(list(found.ratings.values()))
        weight = 1.0 if found.p_selected is None else 1 / found.p_selected
        yield Labelled(found.item, found.answer, str(key[-1]), found.ratings, label, weight)


def code_of(label: str) -> float:
    """The rating of a label of the axes refusal and compliance."""
    return float(CODES[label])


def median_rating(ratings: Sequence[float]) -> float:
    """The middle rating, of two the lower one: a class stays a class."""
    return float(np.sort(np.asarray(ratings))[(len(ratings) - 1) // 2])
