"""All forms by the name that the command line gives them."""

from __future__ import annotations

from collections.abc import Mapping

from trainer.data.importers import answercarefully, hh_rlhf, instruction_ja, trl
from trainer.data.importers.form import Form

FORMS: Mapping[str, Form] = {
    "answercarefully": answercarefully.FORM,
    "answercarefully-borderline": answercarefully.BORDERLINE,
    "hh-rlhf": hh_rlhf.FORM,
    "trl": trl.FORM,
    "instruction-ja": instruction_ja.FORM,
}
