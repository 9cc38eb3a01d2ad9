"""A study: its recipe and its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, overload

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eval.config import IMPORTS, RESERVED, EvalSection
from merge.adapters import Pair
from merge.config import MergeSection
from merge.methods import METHODS
from merge.points import MergePoint, grid
from mergescope.complaints import complaint
from mergescope.credentials import refuse_credentials
from mergescope.ground.errors import RecipeError
from trainer.config import TrainSection, WorldSection
from trainer.data_config import DataSection


class Origin(BaseModel):
    """Where one model comes from: for the model card, and for the check of vendors' terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | None = None
    """Where the model or its training data come from, in words or as an address; None: the Hub id, or this study."""
    licence: str = "unknown"
    """Its licence, as an SPDX name where there is one."""
    made_by: tuple[str, ...] = ()
    """Who or what wrote its training data: people, or the names of models such as gpt-4o."""


class Origins(BaseModel):
    """The origin of each model. Triples that the study trains on say theirs in the file, row by row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Origin = Origin()
    safe: Origin = Origin()
    useful: Origin = Origin()


class ModelsSection(BaseModel):
    """The three models, each a folder (relative to the recipe's) or a Hugging Face id; None where a stage makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str | None = None
    """The common ancestor; None where `train.pretrain` makes it."""
    safe: str | None = None
    """model-safe, or `base+adapter` (each part a folder or an id); None where `train.safe` makes it."""
    useful: str | None = None
    """model-useful, or `base+adapter`; None where `train.useful` makes it."""
    licence: str = "unknown"
    """Licence of the merges, as the Hub names it (apache-2.0); it goes into the model card of a bundle."""
    origin: Origins = Origins()


class Recipe(BaseModel):
    """One study, as its YAML file says it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Name of the study; its outputs go to a folder of this name beside the recipe."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the evaluation: sampling, splits, bootstrap."""
    world: WorldSection | None = None
    """The demo's own data; None for real studies."""
    models: ModelsSection = ModelsSection()
    train: TrainSection | Literal["skip"]
    """How the two fine-tunes are made; `skip` where `models` names all three."""
    data: DataSection | None = None
    """Preference data that the study makes; None where it makes none."""
    merge: MergeSection = MergeSection()
    eval: EvalSection

    @model_validator(mode="after")
    def _each_model_has_one_source(self) -> Recipe:
        given = {role for role in ("base", "safe", "useful") if getattr(self.models, role)}
        if self.train == "skip":
            made: set[str] = set()
        else:
            made = {"safe", "useful"} | ({"base"} if self.train.pretrain else set())
        if both := given & made:
            raise ValueError(f"models.{min(both)} is named and trained as well: keep one")
        if missing := {"base", "safe", "useful"} - given - made:
            raise ValueError(f"models.{min(missing)} is missing: name a folder or a Hub id, or train it")
        return self

    @model_validator(mode="after")
    def _shortlist_fits_the_grid(self) -> Recipe:
        if (shortlist := self.eval.shortlist) is None:
            return self
        if strange := [point for point in shortlist.points if point not in self.merge.ratio_list()]:
            raise ValueError(f"eval.shortlist.points must be among `merge.ratios`: {strange[0]} is not")
        if self.further_seeds and not METHODS[self.merge.method].draws:
            cure = "set eval.shortlist.mask_seeds to 1"
            raise ValueError(f"{self.merge.method} draws nothing, so further mask seeds make the same merges: {cure}")
        return self

    @model_validator(mode="after")
    def _pairs_name_checkpoints(self) -> Recipe:
        if self.eval.pairwise is None:
            return self
        labels = [point.label for point in self.points]
        known = [*RESERVED, *(checkpoint.name for checkpoint in self.eval.checkpoints), *labels]
        if unknown := next((name for name in self.eval.pairwise.checkpoints if name not in known), None):
            raise ValueError(f"eval.pairwise.checkpoints has no such checkpoint: {unknown}; use {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _self_alignment_has_a_name_of_its_own(self) -> Recipe:
        aligning = None if self.data is None else self.data.selfalign
        served = None if aligning is None else aligning.served
        if served is not None and served.name in [checkpoint.name for checkpoint in self.eval.checkpoints]:
            raise ValueError(f"data.selfalign.served.name is one of eval.checkpoints too: {served.name}; rename one")
        return self

    @property
    def further_seeds(self) -> tuple[int, ...]:
        """Mask seeds of the shortlisted ratios alone."""
        shortlist = self.eval.shortlist
        return () if shortlist is None else shortlist.further_seeds(self.merge.mask_seeds)

    @property
    def points(self) -> list[MergePoint]:
        """All merges: those of the grid, then the further mask seeds of the shortlisted ratios."""
        points = grid(self.merge)
        listed = () if self.eval.shortlist is None else self.eval.shortlist.points
        one_seed = [point for point in points if point.mask_seed == points[0].mask_seed and point.ratio in listed]
        return points + [replace(point, mask_seed=seed) for seed in self.further_seeds for point in one_seed]


@dataclass(frozen=True, slots=True)
class Study:
    """A recipe and where its files lie."""

    recipe: Recipe
    file: Path
    """The recipe file, absolute."""

    @property
    def folder(self) -> Path:
        """Everything that the study makes, apart from the rows in the store."""
        return self.file.parent / self.recipe.study

    def resolve(self, path: Path | str) -> Path:
        """A path of the recipe, which is relative to the recipe's folder."""
        return self.file.parent / Path(path).expanduser()

    @overload
    def model(self, role: Literal["base"]) -> Path | str: ...
    @overload
    def model(self, role: Literal["base", "safe", "useful"]) -> Path | str | Pair: ...
    def model(self, role: Literal["base", "safe", "useful"]) -> Path | str | Pair:
        """Folder, Hub id, or base + adapter of one of the three models, made by a stage or named by the recipe.

        Raises RecipeError where a pair is not well formed, or stands where the base belongs.
        """
        named: str | None = getattr(self.recipe.models, role)
        if named is None:
            return self.folder / ("base" if role == "base" else f"model-{role}")
        if "+" not in named or self.resolve(named).exists():
            return self.named(named)
        if role == "base":
            cure = "adapters are for models.safe and models.useful"
            raise RecipeError("must be one model", where=f"{self.file}: models.base", value=named, cure=cure)
        base, adapter = self._parts(named)
        if not base or not adapter:
            cure = "write base+adapter, each a folder or a Hub id"
            raise RecipeError("not understood", where=f"{self.file}: models.{role}", value=named, cure=cure)
        return Pair(self.named(base), self.named(adapter))

    def _parts(self, named: str) -> tuple[str, str]:
        """`base+adapter` taken apart: at the plus that leaves an existing folder before it, else at the first."""
        places = [i for i, letter in enumerate(named) if letter == "+"]
        place = next((i for i in places if i and self.resolve(named[:i]).is_dir()), places[0])
        return named[:place], named[place + 1 :]

    def named(self, name: str) -> Path | str:
        """A model that the recipe names: its folder, or a Hub id."""
        local = self.resolve(name)
        return local if local.exists() or names_folder(name) else name

    @property
    def adapted_roles(self) -> tuple[Literal["safe", "useful"], ...]:
        """The models that the recipe gives as base + adapter."""
        return tuple(role for role in ("safe", "useful") if isinstance(self.model(role), Pair))

    @property
    def checkpoint_names(self) -> tuple[str, ...]:
        """What `--only` may name: the study's own checkpoints, imports, and those of `eval.checkpoints`."""
        return (*RESERVED, IMPORTS, *(checkpoint.name for checkpoint in self.recipe.eval.checkpoints))

    @property
    def is_local(self) -> bool:
        """Whether all its models are folders, so that nothing needs the Hub."""
        others = [self.named(c.model) for c in self.recipe.eval.checkpoints if c.kind == "model"]
        models = [*(self.model(role) for role in ("base", "safe", "useful")), *others]
        parts = [
            part for model in models for part in ((model.base, model.adapter) if isinstance(model, Pair) else (model,))
        ]
        return all(isinstance(part, Path) for part in parts)


def names_folder(name: str) -> bool:
    """Whether a model's name is plainly a folder's: Hub ids have one slash and start with a letter or digit."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def load_study(file: Path) -> Study:
    """Read a recipe; raises RecipeError naming file, recipe path, value and cure on one line."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError("no such recipe", where=file, cure="write one with `mergescope init`") from None
    except IsADirectoryError:
        raise RecipeError("a folder, not a recipe", where=file, cure="name the YAML file") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"not readable as text: {error.reason}", where=file, cure="save it as UTF-8") from None
    return Study(parse_recipe(text, file), file.resolve())


def parse_recipe(text: str, file: Path) -> Recipe:
    """The recipe that `text` says; `file` is its name in errors (RecipeError, as of `load_study`)."""
    raw = _parse_yaml(text, file)
    refuse_credentials(raw, file)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise complaint(file, raw, error, known_keys()) from None


def known_keys() -> frozenset[str]:
    """Every key that a recipe may hold, whatever its section."""
    schema = Recipe.model_json_schema()
    return frozenset(key for part in [schema, *schema["$defs"].values()] for key in part.get("properties", {}))


def _parse_yaml(text: str, file: Path) -> dict[str, Any]:
    try:
        raw = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise RecipeError(f"not readable as YAML: {error.problem}", where=f"{file}{line}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"not readable as YAML: {error}", where=file) from None
    if not isinstance(raw, dict):
        raise RecipeError("a recipe is a mapping of sections", where=file, value=raw)
    return raw


class _StrictLoader(yaml.SafeLoader):
    """YAML whose mappings name each key once: PyYAML keeps the last of two without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
