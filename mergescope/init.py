"""Writes a commented recipe for a study of two fine-tunes that the user has."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import yaml

from eval.formats.catalogue import FORMATS
from eval.prompt_files import known_format, possible_formats
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import write_atomic
from mergescope.study import names_folder, parse_recipe

_SET = """\
    - name: {name}  # the set's name on the dashboard
      path: {path}  # the file
      format: {form}  # whose form it has: mergescope (our own) or that of a published set; see docs/prompts.md
      licence: {licence}  # licence of the texts, as an SPDX name where there is one
      redistributable: false  # whether the texts may leave with a shared copy of the results"""
_PROXY = "    - {{kind: proxy, language: {language}}}  # refusal classifier and formulas, no LLM; ja or en"
_LLM = """\
    - kind: openai  # any OpenAI-compatible server; prompts and answers are sent there
      model: {model}  # the name that the server knows
      base_url: https://api.openai.com/v1  # the server's address
      api_key_env: OPENAI_API_KEY  # environment variable that holds the key; never write the key here
      language: {language}  # language of the rubric: ja or en
      temperature: 0  # 0 for the most repeatable judgements
      repeats: 1  # judgements per answer; the median counts
      concurrency: 16  # requests in flight at once
      timeout_s: 60  # seconds for one request
      # price: {{prompt: 2.5, completion: 10, currency: USD}}  # for a million tokens each; --plan tells the cost
      # batch: true  # questions go as files that are worked off within a day, at half the price"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a recipe cannot do without. Folders and files are relative to the working directory, as typed."""

    base: str
    """Folder or Hub id of the common ancestor."""
    safe: str
    """Folder or Hub id of model-safe, or base+adapter."""
    useful: str
    """Folder or Hub id of model-useful, or base+adapter."""
    prompts: Sequence[Path]
    """Files of prompts, one prompt set each."""
    engine: str
    """transformers or vllm."""
    judge: str
    """proxy, or the model name of an OpenAI-compatible judge."""
    language: str
    """ja or en."""


def write_recipe(file: Path, answers: Answers) -> None:
    """Write the recipe; raises MergescopeError where `file` exists, RecipeError where an answer is impossible.

    Files of prompts that are there are looked into for their format; raises DataError where one cannot be read.
    """
    if file.exists():
        raise MergescopeError("exists already", where=file, cure="give another name or remove it")
    text = recipe_text(file, answers)
    parse_recipe(text, file)
    write_atomic(file, text)


def not_there(answers: Answers) -> list[str]:
    """What the answers name on this machine and is not there, as typed; a recipe may be written before its models."""
    parts = [part for given in (answers.base, answers.safe, answers.useful) for part in _parts(given)]
    folders = [part for part in parts if names_folder(part) and not Path(part).expanduser().is_dir()]
    return [*folders, *(str(path) for path in answers.prompts if not path.expanduser().is_file())]


def not_recognised(answers: Answers) -> Iterator[str]:
    """One line for each file of prompts that is there, but whose format the recipe could not name."""
    for path in answers.prompts:
        file = path.expanduser()
        if file.is_file() and known_format(file) is None:
            if found := possible_formats(file):
                yield f"set `format` (and `kind`, if it asks for it) in the recipe: {path} may be {' or '.join(found)}"
            else:
                said = f"`mergescope prompts {shlex.quote(str(path))}` says what is wrong"
                yield f"not recognised as any format: {path}; {said}"


def recipe_text(file: Path, answers: Answers) -> str:
    """The recipe with its comments, paths relative to `file`'s folder."""
    template = files("mergescope").joinpath("recipe_template.yaml").read_text(encoding="utf-8")
    language = _scalar(answers.language)
    judges = [_PROXY.format(language=language)]
    if answers.judge != "proxy":
        judges.insert(0, _LLM.format(model=_scalar(answers.judge), language=language))
    sets = [_set(path, file) for path in answers.prompts]
    return Template(template).substitute(
        study=_name(file.stem),
        base=_scalar(_model(answers.base, file)),
        safe=_scalar(_model(answers.safe, file)),
        useful=_scalar(_model(answers.useful, file)),
        engine=_scalar(answers.engine),
        sets="\n".join(sets),
        judges="\n".join(judges),
    )


def _set(path: Path, file: Path) -> str:
    form = known_format(path.expanduser()) if path.expanduser().is_file() else None
    licence = None if form is None else FORMATS[form].licence
    return _SET.format(
        name=_name(path.stem),
        path=_scalar(_relative(str(path), file)),
        form=form or "mergescope",
        licence=licence or "unknown",
    )


def _model(given: str, file: Path) -> str:
    """A Hub id stays as it is; a folder is made relative to the recipe; so are both parts of base+adapter."""
    if len(parts := _parts(given)) > 1:
        return "+".join(_model(part, file) for part in parts)
    return _relative(given, file) if names_folder(given) or Path(given).is_dir() else given


def _parts(given: str) -> list[str]:
    return given.split("+") if "+" in given and not Path(given).exists() else [given]


def _relative(given: str, file: Path) -> str:
    path = Path(given).expanduser()
    if path.is_absolute():
        return path.as_posix()
    relative = Path(os.path.relpath(path, file.parent)).as_posix()
    return relative if relative.startswith(".") else f"./{relative}"


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64] or "study"


def _scalar(text: str) -> str:
    """`text` as a YAML scalar that also fits into a flow mapping."""
    if re.fullmatch(r"[A-Za-z0-9._/@~][A-Za-z0-9._/@~-]*", text) and isinstance(yaml.safe_load(text), str):
        return text
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)).strip()
