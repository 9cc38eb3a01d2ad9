"""What is in files of triples, held against a study: found, and not yet put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.config import GivenKind, PromptSetFile
from eval.formats.catalogue import formats_of
from eval.formats.reading import read_records
from eval.prompt_files import read_drafts
from merge.sources import fetched_folder
from mergescope.ground.errors import DataError, MergescopeError
from mergescope.inputs import held_out_prompts
from mergescope.study import Study
from trainer.data.lengths import CHARACTERS, Ruler, token_ruler
from trainer.data.report import DataReport, examine
from trainer.provenance import DataCount, origins
from trainer.training_data import load_data
from trainer.triples import Triple, load_triples


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found."""

    files: tuple[str, ...]
    report: DataReport
    origins: tuple[DataCount, ...]
    wrong: tuple[str, ...]
    """What cannot be read, one line each."""
    overlap_allowed: bool
    """Whether the study trains all the same where prompts overlap with its evaluation."""

    @property
    def stops(self) -> int:
        """How many findings would stop a training."""
        overlapping = 0 if self.overlap_allowed else len(self.report.overlaps)
        return len(self.wrong) + overlapping + len(self.report.lengths.too_long)


def check_of(files: Sequence[Path], study: Study | None, held_out: Sequence[Path]) -> Check:
    """Read the files and look at all of it.

    files: none: those that the study trains on. study: whose evaluation, tokenizer and lengths count; None: no study.
    held_out: further files of prompts or triples that may not be trained on. Raises the MergescopeError family for a
    held-out file that cannot be read, and where there is nothing to check; what is wrong with the files themselves is
    found, and not raised.
    """
    trainings = {} if study is None else _trainings(study)
    paths = list(dict.fromkeys(files or (path for taken in trainings for path in taken)))
    if not paths:
        raise MergescopeError("no files to check", cure="name files of triples, or a study that trains with --study")
    wrong: list[DataError] = []
    found = {path: _read(path, wrong) for path in paths}
    prompts = None if study is None else held_out_prompts(study)
    for path in held_out:
        prompts = [*(prompts or ()), *_prompts(path)]
    triples = [triple for path in paths for triple in found[path]]
    limits = [_limit(path, trainings) for path in paths for _ in found[path]]
    together = [[found[path] for path in dict.fromkeys(taken)] for taken in ([files] if files else trainings)]
    return Check(
        files=tuple(map(str, paths)),
        report=examine(triples, prompts, CHARACTERS if study is None else _ruler(study), limits),
        origins=tuple(origins(triples)),
        wrong=(*(error.line() for error in wrong), *_twice(together)),
        overlap_allowed=study is not None and study.recipe.train != "skip" and study.recipe.train.allow_overlap,
    )


def _trainings(study: Study) -> dict[tuple[Path, ...], int]:
    """By the files that one model is trained on, its `max_length`."""
    train = study.recipe.train
    sections = [] if train == "skip" else [train.safe, train.useful]
    found: dict[tuple[Path, ...], int] = {}
    for section in sections:
        files = tuple(map(study.resolve, section.triples))
        found[files] = min(section.max_length, found.get(files, section.max_length))
    return found


def _limit(path: Path, trainings: Mapping[tuple[Path, ...], int]) -> int | None:
    """The least `max_length` of the trainings that use a file, or of all where none does; None without a study."""
    using = [limit for files, limit in trainings.items() if path.absolute() in files]
    return min(using or trainings.values(), default=None)


def _read(path: Path, wrong: list[DataError]) -> list[Triple]:
    try:
        return load_data(path, unreviewed=True) if path.is_dir() else load_triples(path, wrong.append)
    except DataError as error:
        wrong.append(error)
        return []


def _twice(together: Iterable[Iterable[Sequence[Triple]]]) -> Iterator[str]:
    """Names that stand in two files of one training: within a file, reading has complained already."""
    said: set[str] = set()
    for files in together:
        for idx, count in Counter(triple.idx for triples in files for triple in triples).items():
            if count > 1 and idx not in said:
                said.add(idx)
                yield f"idx stands in {count} of the files (got {idx!r}); give each triple its own"


def _prompts(path: Path) -> list[str]:
    """Prompts of a file of triples, or the user's turns of a file of prompts whose columns tell its form."""
    head = next(read_records(path), None)
    columns = set() if head is None else set(head.fields)
    if {"prompt", "chosen"} <= columns:
        return [triple.prompt for triple in load_triples(path)]
    if not (forms := formats_of(columns)):
        cure = "give triples, or prompts as `mergescope prompts` reads them"
        raise DataError("neither triples nor a known form of prompts", where=path, cure=cure)
    # llm-jp-judge's form has to be told a kind, which does not matter here
    kind: GivenKind | None = "benign" if forms == ["llm-jp-judge"] else None
    drafts = read_drafts(PromptSetFile(name="held-out", path=path, format=forms[0], kind=kind), path)
    return [turn["content"] for draft in drafts for turn in draft.messages if turn["role"] == "user"]


def _ruler(study: Study) -> Ruler:
    """The tokenizer of the study's base where it is on this machine, else characters."""
    base = study.model("base")
    folder = base if isinstance(base, Path) else fetched_folder(base) if isinstance(base, str) else None
    return token_ruler(folder) if folder is not None and folder.is_dir() else CHARACTERS
