"""Do-Not-Answer: prompts that responsible models refuse (Wang et al. 2023, arXiv 2308.13387).

LibrAI/do-not-answer on the Hub, data_en.csv: id, risk_area, types_of_harm, specific_harms, question; answers of
models may follow and are left out. 939 rows, prompts CC-BY-NC-SA-4.0. All are harmful; the category has three levels.
"""

from __future__ import annotations

from collections.abc import Iterator

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, name, text

_LEVELS = ("risk_area", "types_of_harm", "specific_harms")


def _drafts(record: Record, _wish: Wish) -> Iterator[Draft]:
    key = name(record, "id")
    yield Draft(
        key=key,
        kind="harmful",
        messages=user(text(record, "question")),
        category=tuple(text(record, level) for level in _LEVELS),
        group=key,
    )


FORMAT = Format(
    title="Do-Not-Answer",
    key="id",
    columns=frozenset({"id", *_LEVELS, "question"}),
    licence="CC-BY-NC-SA-4.0",
    drafts=_drafts,
)
