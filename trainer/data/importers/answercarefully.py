"""AnswerCarefully (Suzuki et al. 2025, arXiv 2506.02372), from the user's own copy: prompts and good answers.

The set has no answers to avoid: what is imported are questions, from which `mergescope data make` makes triples. It may
not be passed on, and neither may what is imported from it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

from eval.formats import answercarefully
from eval.formats.draft import Format, Wish
from eval.formats.record import Record
from trainer.data.importers.form import Draft, Form, Kind
from trainer.taxonomy.categories import LEVELS, NO_HARM


def _draft(form: Format, kind: Kind) -> Callable[[Record], Draft]:
    def draft(record: Record) -> Draft:
        (item,) = form.drafts(record, Wish())
        named = () if item.category == (kind,) else item.category
        meta = dict(zip_longest(LEVELS, named, fillvalue=NO_HARM))
        return Draft(item.key, item.messages[0]["content"], item.reference or "", None, meta, kind)

    return draft


def _form(form: Format, kind: Kind, config: str) -> Form:
    return Form(
        title=f"{form.title} ({config})",
        draft=_draft(form, kind),
        config=config,
        prefix=f"answercarefully-{config}",
        source=f"llm-jp/AnswerCarefully {config}",
        licence=form.licence,
        made_by="people",
    )


FORM = _form(answercarefully.FORMAT, "harmful", "v2.0")
BORDERLINE = _form(answercarefully.BORDERLINE, "borderline", "borderline-v1.0")
