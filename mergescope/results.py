"""A study's results as files: answers, judgements and metrics, in our own form or in that of llm-jp-judge."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.interchange import llm_jp, llm_jp_out
from eval.interchange.lines import FORMS, RowFormat, write_rows_as
from eval.interchange.reading import Source, StudyReader
from eval.interchange.schemas import schema
from eval.interchange.sharing import Placed, Sharing, counted
from eval.people import in_force, verdicts
from eval.store import open_store, store_revision
from eval.verdict_lines import shareable, shared, verdict_lines
from mergescope.effects import recipe_hash
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import fresh_folder, write_json, write_manifest
from mergescope.ground.ids import file_hash
from mergescope.inputs import prompt_sets
from mergescope.lock import locked
from mergescope.study import Study
from mergescope.sweep import study_id

VERSION = 1
"""Version of the form of the files."""
VERSIONED = ("mergescope", "duckdb", "torch", "transformers", "mergekit")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for."""

    out: Path
    """Folder to write; must not exist."""
    form: str
    """One of FORMS."""
    checkpoints: Sequence[str] = ()
    """Labels; none: all of the study's."""
    with_texts: bool = False


def write_results(study: Study, store: Path, wanted: Wanted) -> Iterator[str]:
    """Write the results, manifest last; yields what was done, line by line.

    Raises MergescopeError: unknown format or checkpoint, a folder that exists, a study that is running or not there.
    """
    if wanted.form not in FORMS:
        cure = f"use one of {', '.join(FORMS)}"
        raise MergescopeError("no such format", where="--format", value=wanted.form, cure=cure)
    if wanted.out.exists():
        raise MergescopeError("exists already", where=wanted.out, cure="name a new folder")
    with open_store(store, read_only=True) as db:
        revision = store_revision(db)
    # a run would change what is read page by page
    with locked(study.folder):
        reader = StudyReader(store, study_id(study))
        sources = _sources(reader, wanted.checkpoints, store)
        sharing = Sharing(with_texts=True) if wanted.with_texts else _sharing(study, reader)
        with fresh_folder(wanted.out) as folder:
            if wanted.form == llm_jp.FORM:
                written, notes = _write_llm_jp(folder, reader, sources, sharing)
            else:
                form: RowFormat = "parquet" if wanted.form == "parquet" else "jsonl"
                written = dict(_write_own(folder, form, reader, sources, sharing))
                with open_store(store, read_only=True) as db:
                    written["verdict"], notes = _write_verdicts(folder, db, study_id(study), sharing)
            _write_manifest(folder, study, wanted, revision, sharing)
    parts = [counted(rows, noun) for noun, rows in written.items() if rows]
    yield "; ".join(
        [f"{wanted.out}: {', '.join(parts) or 'no answers'} of {counted(len(sources), 'checkpoint')}", *notes]
    )
    yield from sharing.lines()


def _sources(reader: StudyReader, labels: Sequence[str], store: Path) -> list[Source]:
    if not reader.sources:
        raise MergescopeError("no results of this study yet", where=store, cure="run `mergescope eval STUDY` first")
    known = [source.label for source in reader.sources]
    if unknown := [label for label in labels if label not in known]:
        cure = f"use one of {', '.join(known)}"
        raise MergescopeError("no such checkpoint", where="--checkpoint", value=unknown[0], cure=cure)
    return [source for source in reader.sources if not labels or source.label in labels]


def _sharing(study: Study, reader: StudyReader) -> Sharing:
    """What the store's sets and the recipe's allow together: a set may have been closed after its answers were had."""
    sets = prompt_sets(study)
    allowed = {one_set.name: one_set.redistributable for one_set in sets}
    stored = (
        replace(item, redistributable=item.redistributable and allowed.get(item.set_name, True))
        for item in reader.placed()
    )
    told = (
        Placed(item.prompt_id, one_set.name, item.kind, one_set.redistributable)
        for one_set in sets
        for item in one_set.items
    )
    return Sharing.of(itertools.chain(stored, told), reader.unsafe())


def _write_own(
    folder: Path, form: RowFormat, reader: StudyReader, sources: Sequence[Source], sharing: Sharing
) -> Iterator[tuple[str, int]]:
    """What is written, and how many rows of it."""
    pages = {
        "answer": ([sharing.answer(row) for row in page] for source in sources for page in reader.answers(source)),
        "judgement": ([sharing.judgement(row) for row in page] for page in reader.judgements(sources)),
        "metric": (page for source in sources for page in reader.metrics(source)),
    }
    for name, rows in pages.items():
        columns = schema(f"{name}s") if form == "parquet" else None
        yield name, write_rows_as(folder / f"{name}s.{form}", form, rows, columns)


def _write_verdicts(folder: Path, db: DuckDBPyConnection, study: str, sharing: Sharing) -> tuple[int, Sequence[str]]:
    """People's verdicts as `judge calibrate --labels` reads them; returns how many, and what is left out."""
    rows = in_force(verdicts(db, study))
    if not rows:
        return 0, []
    told = verdict_lines(db, study, rows)
    kept = [line for _, line in told]
    if not sharing.with_texts:
        may_leave = {pair for pair in shareable(db, study, rows) if sharing.lets_go(*pair)}
        kept = [shared(line) for row, line in told if (row.prompt_id, row.text_id) in may_leave]
    # always lines: whoever reads labels need not read Parquet
    write_rows_as(folder / "verdicts.jsonl", "jsonl", [kept], None)
    left = len(told) - len(kept)
    return len(kept), [f"left out: {counted(left, 'verdict')} on texts that are not for sharing"] if left else []


def _write_llm_jp(
    folder: Path, reader: StudyReader, sources: Sequence[Source], sharing: Sharing
) -> tuple[dict[str, int], Sequence[str]]:
    """Returns what is written, how many rows of it, and what is left out."""
    references = reader.references()
    left: Counter[str] = Counter()
    count = 0
    for number, source in enumerate(sources):
        place = folder / f"{number:02}-{_safe(source.label)}"
        answers = llm_jp_out.identified(list(_sayable(reader, source, sharing, left)))
        count += len(answers)
        _write_generation(place / "generation", source, answers, references)
        _write_evaluations(place, reader, source, answers, sharing)
    parts = [f"{counted(number, 'answer')} {what}" for what, number in left.items()]
    return {"answer": count}, [f"left out: {', '.join(parts)}"] if parts else []


def _sayable(
    reader: StudyReader, source: Source, sharing: Sharing, left: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A checkpoint's answers that the form can hold, with their benchmarks; the others are counted."""
    for page in reader.answers(source):
        for row in map(sharing.answer, page):
            benchmark = llm_jp_out.benchmark_of_row(row)
            if row["messages"] is None or (row["turns"] is None and row["error_kind"] is None):
                left["without texts"] += 1
            elif benchmark is None:
                left["of a kind or with turns that llm-jp-judge does not have"] += 1
            elif row["sample"]:
                left["beyond the first of a prompt"] += 1
            else:
                yield benchmark, row


def _write_generation(
    folder: Path,
    source: Source,
    answers: Sequence[tuple[str, Mapping[str, Any]]],
    references: Mapping[tuple[str, str], str],
) -> None:
    folder.mkdir(parents=True)
    for benchmark in dict.fromkeys(name for name, _ in answers):
        rows = [
            llm_jp_out.generation_row(row, references.get((row["set"], row["key"])))
            for name, row in answers
            if name == benchmark
        ]
        write_rows_as(folder / f"{benchmark}.jsonl", "jsonl", [rows], None)
    write_json(folder / "metadata.json", {"model_name": source.label})


def _write_evaluations(
    place: Path,
    reader: StudyReader,
    source: Source,
    answers: Sequence[tuple[str, Mapping[str, Any]]],
    sharing: Sharing,
) -> None:
    """One folder a judge: raw tables of what it said of one-turn prompts, scores, error rates."""
    said: dict[tuple[str, str, str, str], dict[str, Mapping[str, Any]]] = {}
    for page in reader.judgements([source]):
        for told in map(sharing.judgement, page):
            if told["repeat"] == 0:
                key = told["judge_id"], told["prompt_id"], told["kind"], told["text_id"]
                said.setdefault(key, {})[told["axis"] or ""] = told
    estimates = [row for page in reader.metrics(source) for row in page]
    for number, (judge, name, kind, _) in enumerate(reader.judges):
        tables: dict[str, list[dict[str, Any]]] = {}
        for benchmark, row in answers:
            scores = said.get((judge, row["prompt_id"], row["kind"], row["text_id"]))
            if scores is not None and len(row["messages"]) == 1:
                rows = list(llm_jp_out.table_rows(row, scores))
                if rows:
                    tables.setdefault(benchmark, []).extend(rows)
        overall = [e for e in estimates if e["judge_id"] == judge and e["scope"] == e["split"] == "all"]
        folder = place / f"evaluation-{number}-{_safe(name)}"
        for benchmark, rows in tables.items():
            write_json(folder / f"{benchmark}{llm_jp.TABLE}", rows)
        write_json(folder / "score_table.json", [llm_jp_out.score_row(source.label, name, overall)])
        write_json(folder / llm_jp.JUDGE, [{"name": name, "kind": kind}])
        write_json(folder / "evaluate_error_rate_table.json", [llm_jp_out.error_row(source.label, name, tables)])


def _write_manifest(folder: Path, study: Study, wanted: Wanted, revision: int, sharing: Sharing) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {
        "form": wanted.form,
        "form_version": VERSION,
        "study": study.recipe.study,
        "recipe_sha256": recipe_hash(study.recipe),
        "store_revision": revision,
        "checkpoints": list(wanted.checkpoints) or "all",
        "texts": {
            "all": wanted.with_texts,
            "rows_without_prompt": sharing.prompts,
            "rows_without_answer": sharing.answers,
        },
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        "files": {str(path.relative_to(folder)): file_hash(path) for path in files},
    }
    write_manifest(folder, stage_hash=recipe_hash(study.recipe), content=content)


def _safe(name: str) -> str:
    """A label as part of a folder's name: labels of served models and judges are strangers' words."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60].strip("-.") or "unnamed"
