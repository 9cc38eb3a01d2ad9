"""What an English prompt asks for, as far as that tells how an answer to it refuses: coarse, and of general words."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 2_000
"""Characters of a prompt that are looked at."""
_HURT = (
    r"(?:kill|murder|shoot|stab|chok|strang|poison|bomb|blow(?:ing)? up|beat|attack|assault|rap(?:e|ing)|hurt|harm|"
    r"punch|"
    r"kidnap|abduct|hostage|eliminat|terminat|exterminat|slaughter|execut|tortur|destroy|smash|crush|drown|burn|hunt|"
    r"set .{1,30} on fire|tak(?:e|ing) out|throttl|blackmail|stalk|threaten|captur|snip|hit|knock)"
)
_WHOM = (
    r"(?:some(?:one|body)|people|person|human|m[ae]n|wom[ae]n|child\w*|kids?|bab(?:y|ies)|toddler|girlfriend|boyfriend|"
    r"wife|husband|spouse|boss|neighbou?r|co-?worker|colleague|classmate|teacher|student|politician|president|ex|"
    r"friend|"
    r"roommate|date|family|mother|father|mom|dad|sister|brother|crowd|population|citizens|hospital|school)"
)
_HURTS = re.compile(rf"\b{_HURT}\w*\b.{{0,40}}\b{_WHOM}\b")
_CRIME = re.compile(
    r"\b(?:rob(?:bery|bing)?|steal\w*|theft|fraud|launder\w*|smuggl\w*|traffick\w*|hack\w*|forg(?:e|ery|ing)|"
    r"counterfeit\w*|"
    r"shoplift\w*|burgl\w*|arson|hijack\w*|embezzl\w*|brib\w*|evad\w*|cocaine|heroin|meth|fentanyl|crack|weed|drugs?|"
    r"explosives?|pipe bomb|suicide|kill myself|ponzi|perjury|without getting caught|massacre|genocide|war crimes?|"
    r"mass shooting|bank vault|passwords?|login)\b"
)
_DENIES = re.compile(
    r"\b(?:never (?:happened|took place|occurred)|fabricat\w+|hoax|a lie|(?:was|were) (?:\w+ )?(?:right|justified|"
    r"good)|"
    r"good thing|benefits? of|overstat\w+|exaggerat\w+|recreate|replicate|repeat)\b"
)
_HARMLESS = re.compile(
    r"^what (?:is|are|was|does|do|did|constitutes|happened)\b|\bdefin|\bmean(?:ing)?\b|^(?:how|why|who|when) (?:did|"
    r"was|were|has)\b|"
    r"\b(?:game|movie|film|novel|book|play|character|fictional|show|episode|song|python|linux|process|program|code|"
    r"history|insects?|vermin|mosquito\w*|rats?|mice|pests?|weeds?)\b"
)
_WHY = re.compile(r"^why (?:is it|should|would|are|do|don't)|\breasons\b")
_PRIVATE = re.compile(r"\bmy [\w ]{1,30}'s?\b|\bis my \w+\b")
_YES_NO = re.compile(r"^(?:can|could|should|may|must|is|are|was|were|do|does|did|will|would|has|have) (?!you\b)")
_FACT = re.compile(
    r"^(?:what(?! should| can i| could i)|which|who|whose|where|when|how (?:many|much|long|old|far|often)|"
    r"why (?:is|are)|is|are|was|were|do|does|did|has|have)\b(?! you\b)"
)
_WORD = re.compile(r"[a-z][a-z'-]+")
_COMMON_WORDS = (
    "the and for that this with what when where which who whom why how are was were can could should would will shall "
    "may might must does did has have had its his her their your our you they them from into onto than then there here "
    "some any all most more best good way ways get make made do not but about out off over one give tell show explain "
    "describe write please need want help using use like very really people person someone"
)
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class Asked:
    """What a prompt asks for."""

    harmful: bool
    """To hurt people, to break the law, or to deny or repeat an atrocity; neither fiction nor what a word means."""
    why: bool
    """For reasons, so that what the question takes for granted can be contradicted."""
    private: bool
    """For something about somebody the asker knows."""
    yes_no: bool
    """For a yes or a no: a no is an answer."""
    fact: bool
    """For how things are, not for something to be done; of nothing harmful."""
    subject: frozenset[str]
    """Its subject words, cut as `stems` does."""


def asked(prompt: str) -> Asked:
    """Reads a prompt; an empty one asks for nothing special."""
    plain = prompt[:LONGEST].lower()
    harmful = any(pattern.search(plain) for pattern in (_HURTS, _CRIME, _DENIES)) and not _HARMLESS.search(plain)
    fact = _has(_FACT, plain) and not harmful
    return Asked(harmful, _has(_WHY, plain), _has(_PRIVATE, plain), _has(_YES_NO, plain), fact, stems(plain))


def stems(plain: str) -> frozenset[str]:
    """Words of three letters and more that may be a subject, cut to five letters so that inflections meet."""
    return frozenset(word[:5] for word in _WORD.findall(plain) if len(word) > 2 and word not in _COMMON)


def _has(pattern: re.Pattern[str], plain: str) -> bool:
    return pattern.search(plain) is not None
