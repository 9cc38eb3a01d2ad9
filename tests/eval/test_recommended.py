"""What a rule recommends: on the select split alone, with what would tell the rest apart."""

from __future__ import annotations

import numpy as np

from eval.choosing import stand
from eval.metrics import METRICS
from eval.power import more_prompts
from eval.recommended import recommended
from eval.rule import parse_rule
from eval.separation import separate
from mergescope.ground.seeds import derive_seed
from tests.eval.test_metrics import table


def test_the_parts_agree_and_the_confirm_split_stays_unread() -> None:
    rng = np.random.default_rng(5)
    refusal = (rng.random((4, 200)) < np.array([[0.3], [0.32], [0.7], [0.05]])) * 2.0
    changed = refusal.copy()
    changed[:, 140:] = 2 - changed[:, 140:]
    rule = parse_rule("over_refusal_rate <= 0.6 at 0.9; max borderline_answer_rate")
    made, other = (table("o" * 200, rows.tolist(), confirm="s" * 140 + "c" * 60) for rows in (refusal, changed))
    points = ["c2", "c0", "c1"]
    found = recommended(made, rule, points, 7)
    assert recommended(other, rule, points, 7) == found

    seed, select = derive_seed(7, "bootstrap", "all", "select"), made.where(~made.items.confirm)
    metric = METRICS["borderline_answer_rate"]
    assert found.prompts == 140
    assert found.standings == stand(select.of(points), rule, seed)
    assert found.standings.feasible == ("c0", "c1")
    assert found.separation == separate(select, metric, ["c0", "c1"], seed)
    (other_one,) = {"c0", "c1"} - {found.best}
    behind = found.separation.points[other_one]  # type: ignore[union-attr]
    assert found.best is not None
    assert found.more == {
        other_one: more_prompts(select, metric, other_one, found.best, behind.difference, behind.margin)
    }


def test_nobody_is_recommended_where_nobody_meets_the_rule() -> None:
    made = table("o" * 40, [[2] * 40, [0] * 40])
    found = recommended(made, parse_rule("over_refusal_rate >= 0.5; max borderline_answer_rate"), ["c1"], 7)
    assert (found.best, found.separation, found.more) == (None, None, {})
    assert found.standings.p_none == 1.0
