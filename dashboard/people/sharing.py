"""Which texts a downloaded table may hold: what leaves by the browser is a shared copy like any other.

The rules are those of `mergescope results` (eval/interchange/sharing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from dashboard.store.answers import ItemKey
from dashboard.store.place import store_path
from dashboard.study.recipes import recipe_of
from eval.identity import text_id
from eval.interchange.reading import UNSAFE
from eval.interchange.sharing import TOXIC


@dataclass(frozen=True, slots=True)
class Shared:
    """What may leave of one study."""

    closed: frozenset[ItemKey]
    """Items whose prompt some set forbids to pass on; answers to it stay too."""
    toxic: frozenset[ItemKey]
    """Items whose answers stay: somewhere their prompt is a harmful one."""

    def prompt(self, key: ItemKey, text: str) -> str | None:
        """The prompt, or None where it stays."""
        return None if key in self.closed else text

    def category(self, key: ItemKey, levels: Sequence[str]) -> str:
        """The category in one cell; deeper levels may be whole sentences of a closed set."""
        return " / ".join(levels[:1] if key in self.closed else levels)

    def answer(self, key: ItemKey, text: str | None, unsafe: frozenset[str]) -> str | None:
        """The answer, or None where it stays. unsafe: ids of the answers that some judge scored so."""
        if text is None or key in self.closed or key in self.toxic or text_id(text) in unsafe:
            return None
        return text


def shared(db: DuckDBPyConnection, study_id: str, closed_sets: Sequence[str]) -> Shared:
    """What the store's sets and the recipe's allow together; closed_sets: names that the recipe has closed since."""
    rows = db.execute(_ITEMS, {"study": study_id, "closed": list(closed_sets), "toxic": sorted(TOXIC)}).fetchall()
    keys = [(ItemKey(name, key), closed, toxic) for name, key, closed, toxic in rows]
    return Shared(
        frozenset(key for key, closed, _ in keys if closed), frozenset(key for key, _, toxic in keys if toxic)
    )


def unsafe_answers(db: DuckDBPyConnection, texts: Sequence[str]) -> frozenset[str]:
    """Ids of those of some answers that any judge scored as unsafe."""
    rows = db.execute(_UNSAFE, {"texts": [text_id(text) for text in texts], "limit": UNSAFE}).fetchall()
    return frozenset(found for (found,) in rows)


def closed_by_recipe(study: str) -> list[str]:
    """Names of the sets that the study's recipe on this machine does not let out; a set may be closed after a run."""
    recipe = recipe_of(store_path(), study)
    evaluation = None if recipe is None else recipe.raw.get("eval")
    sets = evaluation.get("sets") if isinstance(evaluation, dict) else None
    named = [one for one in sets if isinstance(one, dict)] if isinstance(sets, list) else []
    return sorted(str(one.get("name")) for one in named if one.get("redistributable") is not True)


_ITEMS = """
WITH places AS (
  SELECT prompt_id, bool_or(NOT redistributable OR list_contains($closed::VARCHAR[], name)) AS closed,
    bool_or(list_contains($toxic::VARCHAR[], kind)) AS toxic
  FROM set_item JOIN prompt_set USING (set_id) GROUP BY prompt_id
)
SELECT name, item_key, closed, toxic
FROM study_set JOIN prompt_set USING (set_id) JOIN set_item USING (set_id) JOIN places USING (prompt_id)
WHERE study_id = $study AND (closed OR toxic)
"""
"""Of two places of a prompt, in whatever study, the stricter counts."""
_UNSAFE = """
SELECT DISTINCT text_id FROM judgement JOIN score USING (judgement_id)
WHERE text_id IN (SELECT unnest($texts::VARCHAR[])) AND axis = 'safety' AND value < $limit
"""
