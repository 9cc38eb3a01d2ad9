"""The recipes of this machine, by the names of their studies: what the pages know of studies beside the store."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

STUDIES_VARIABLE = "MERGESCOPE_STUDIES"
"""Environment variable with the folder of recipes; `studies` beside the store without it."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that a study may have: each is a folder beside its recipe, and nothing else."""


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe as its file says it, whether it is sound or not."""

    study: str
    file: Path
    raw: dict[str, Any]
    """Shared by all who ask: not to be changed."""

    @property
    def folder(self) -> Path:
        """Where the study's outputs are."""
        return self.file.parent / self.study


def recipes(store: Path) -> list[RecipeFile]:
    """All recipes of the folder by file name; files that are none are left out."""
    folder = Path(os.environ.get(STUDIES_VARIABLE, store.parent / "studies"))
    found = [(file, _read(file)) for file in sorted(folder.glob("*.yaml"))]
    return [RecipeFile(raw["study"], file, raw) for file, raw in found if raw is not None]


def recipe_of(store: Path, study: str) -> RecipeFile | None:
    """The recipe of a study by its name; None where this machine has none."""
    return next((recipe for recipe in recipes(store) if recipe.study == study), None)


def recipe_file(store: Path, study: str) -> Path | None:
    """Its file."""
    found = recipe_of(store, study)
    return None if found is None else found.file


def _read(file: Path) -> dict[str, Any] | None:
    try:
        state = file.stat()
        raw = _parsed(file, state.st_ino, state.st_size, state.st_mtime_ns)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None  # not a recipe: someone else's file in the same folder
    named = isinstance(raw, dict) and isinstance(raw.get("study"), str) and NAME.fullmatch(raw["study"])
    return raw if named else None


@lru_cache(maxsize=256)
def _parsed(file: Path, *state: int) -> Any:
    """The file's YAML; pages ask for it at every run, and it takes longer than all that they draw of it."""
    del state  # it tells cache entries apart
    return yaml.safe_load(file.read_text(encoding="utf-8"))
