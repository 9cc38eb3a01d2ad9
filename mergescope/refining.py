"""Further ratios around the recommended ones, and the change of the recipe that asks for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import yaml

from eval.recommended import DEFAULT_RULE
from eval.rule import parse_rule
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import write_atomic
from mergescope.ground.ids import MICRO, decimal6
from mergescope.recommending import recommend
from mergescope.study import Recipe, Study, parse_recipe


def refine(
    study: Study, store: Path, rule: str | None = None, points: int | None = None, *, write: bool = False
) -> Iterator[str]:
    """Propose ratios, and with `write` put them into the recipe; yields what was found and done, line by line.

    rule: as `parse_rule` reads it; None takes DEFAULT_RULE. points: how many ratios; None: one for each gap. Raises
    MergescopeError where no point meets the rule, or the recipe cannot be edited.
    """
    if points is not None and points < 1:
        raise MergescopeError("nothing to propose", where="--points", value=points, cure="ask for 1 or more")
    found = recommend(study, store, parse_rule(rule or DEFAULT_RULE))
    if not found.chosen:
        cure = "loosen it (`mergescope compare STUDY` shows how near the points come)"
        raise MergescopeError("no point meets the rule", where="--rule", value=found.standings.rule.text, cure=cure)
    asked = study.recipe.merge.ratio_list()
    chosen = sorted({point.ratio for point in found.chosen})
    new = further_ratios(sorted({*asked, *(point.ratio for point in found.points)}), chosen, points)
    yield f"rule: {found.standings.rule.text}"
    yield f"recommended: {', '.join(f'r {ratio}' for ratio in chosen)}"
    if not new:
        yield "no further ratio fits between them: ratios have at most 6 digits"
        return
    yield f"further ratios: {', '.join(map(str, new))}"
    line = written(sorted({*asked, *new}))
    if not write:
        yield f"in {study.file} (or again with --write), at merge: ratios: {line}"
        return
    write_atomic(study.file, edited(study.file, line))
    yield f"{study.file} asks for them now; `mergescope run` does only the new work"


def further_ratios(ratios: Sequence[Decimal], chosen: Sequence[Decimal], points: int | None) -> list[Decimal]:
    """New ratios in rising order: the middles of the gaps between neighbours of which at least one is chosen.

    `points` None: one in each gap. Else so many, each in the middle of the widest gap that is left, the lower one of
    equally wide ones; fewer where no gap is left that 6 digits can split.

    0, .2, .4, .6 with .2 chosen: .1 and .3; three points: .05 as well.
    """
    gaps = [(low, high) for low, high in itertools.pairwise(ratios) if low in chosen or high in chosen]
    if points is None:
        return sorted(_middle(low, high) for low, high in gaps if high - low >= 2 * MICRO)
    new: list[Decimal] = []
    for _ in range(points):
        low, high = max(gaps, key=lambda gap: (gap[1] - gap[0], -gap[0]), default=(Decimal(0), Decimal(0)))
        if high - low < 2 * MICRO:
            break
        middle = _middle(low, high)
        gaps.remove((low, high))
        gaps += [(low, middle), (middle, high)]
        new.append(middle)
    return sorted(new)


def _middle(low: Decimal, high: Decimal) -> Decimal:
    return decimal6(round((low + high) / 2, 6))


def written(ratios: Sequence[Decimal]) -> str:
    """The ratios as a recipe lists them."""
    return f"[{', '.join(map(str, ratios))}]"


def edited(file: Path, line: str) -> str:
    """The recipe's text with `line` in the place of `merge.ratios`, all else as it was, comments too.

    Raises MergescopeError where the ratios do not stand on one line in [...] or {...}: `line` is for the user then.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        text = stream.read()
    node = _find(yaml.compose(text, Loader=yaml.SafeLoader), "merge", "ratios")
    cure = f"write there by hand: {line}"
    if not isinstance(node, yaml.CollectionNode) or not node.flow_style or node.start_mark.line != node.end_mark.line:
        raise MergescopeError("not on one line in brackets", where=f"{file}: merge.ratios", cure=cure)
    new = text[: node.start_mark.index] + line + text[node.end_mark.index :]
    if not _differ_in_ratios_alone(parse_recipe(text, file), new, file):
        raise MergescopeError("is named elsewhere in the file too", where=f"{file}: merge.ratios", cure=cure)
    return new


def _differ_in_ratios_alone(before: Recipe, text: str, file: Path) -> bool:
    """Whether the edited text is still a recipe and nothing else of it has changed, as by an alias of the ratios."""
    try:
        after = parse_recipe(text, file)
    except RecipeError:
        return False
    merge = before.merge.model_copy(update={"ratios": after.merge.ratios})
    return after == before.model_copy(update={"merge": merge})


def _find(node: yaml.Node | None, *keys: str) -> yaml.Node | None:
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node
