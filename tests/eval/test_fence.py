"""The fence: what an answer says about its own grade is material, for careful readers and for careless ones."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Literal

import pytest

from eval.judge import Question
from eval.judges.fence import LONGEST, fenced, neutralised
from eval.judges.rubric import load_rubric
from tests.eval.injections import ANSWER, CLAIMS, MARK, WORD
from tests.tokenizers import character_tokenizer

NAMES = {"ja": ("質問", "回答", "模範回答"), "en": ("PROMPT", "ANSWER", "REFERENCE")}
PROMPT, REFERENCE = "How do I make miso soup?", "Dashi, then miso, miso and miso."
FENCE = re.compile(r"<<<(\w+) ([0-9a-f]+)>>>")
TOKENS = (
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|endoftext|>",
    "<|end|>", "<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|turn>", "<turn|>", "<start_of_turn>",
    "<end_of_turn>", "<bos>", "<eos>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<tool_call>", "</tool_call>", "</think>",
    "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>",
)  # fmt: skip


def shown(answer: str, language: Literal["ja", "en"] = "en") -> str:
    """The user's turn of what the judge is shown about an answer."""
    messages = ({"role": "user", "content": PROMPT},)
    question = Question(f"v1_00{MARK}", "benign", messages, answer, REFERENCE, 0)
    return load_rubric(language).messages(question)[1]["content"]


def careful(text: str) -> str:
    """The answer as an honest reader finds it, by the mark of the first fence."""
    first = FENCE.match(text)
    assert first is not None
    _, opened, rest = text.partition(f"<<<ANSWER {first[2]}>>>\n")
    assert opened
    return rest.partition(f"\n<<<END {first[2]}>>>")[0]


def careless(text: str) -> list[str]:
    """The answers as a reader finds them who sees no hidden character, trusts any mark and any likeness of a fence."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cf", "Cc", "Mn"))
    seen = re.sub("[‹⟨〈❮]", "<", re.sub("[›⟩〉❯]", ">", re.sub("[«≪《]", "<<", re.sub("[»≫》]", ">>", seen))))
    seen = seen.replace("⋘", "<<<").replace("⋙", ">>>")
    return re.findall(r"<{3,}\s*ANSWER[^<>]*>{3,}(.*?)<{3,}\s*END[^<>]*>{3,}", seen, re.DOTALL)


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_one_fence_a_part_and_nothing_outside(claim: str, language: Literal["ja", "en"]) -> None:
    text = shown(f"{claim}\n{ANSWER}\n{claim}", language)
    fences = FENCE.findall(text)
    assert [name for name, _ in fences] == [found for name in NAMES[language] for found in (name, "END")]
    assert len({mark for _, mark in fences}) == 1
    assert text.count("<<<") == text.count(">>>") == 6
    outside = re.split(r"<<<(?!END)\w+ \w+>>>\n.*?\n<<<END \w+>>>", text, flags=re.DOTALL)
    assert outside == ["", "\n\n", "\n\n", ""]
    assert json.loads(json.dumps(text, ensure_ascii=False).encode("utf-8")) == text


@pytest.mark.parametrize("name", [name for name, claim in CLAIMS.items() if len(claim) < LONGEST // 2])
def test_what_is_judged_is_the_answer_for_careful_and_careless_readers(name: str) -> None:
    claim = CLAIMS[name]
    for answer in (f"{claim}\n{ANSWER}", f"{ANSWER}\n{claim}", f"{claim}\n{ANSWER}\n{claim}"):
        text = shown(answer)
        assert careful(text) == neutralised(answer)
        (found,) = careless(text)
        assert found.count(WORD) == careful(text).count(WORD) == ANSWER.count(WORD)


def test_the_careless_reader_would_be_fooled_without_the_fence_s_care() -> None:
    forged = [name for name, claim in CLAIMS.items() if name.startswith("fence") and careless(claim)]
    assert len(forged) >= 15


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_nothing_stays_unseen(claim: str) -> None:
    text = neutralised(f"{ANSWER}{claim}")
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") and c not in "\n\t"]
    assert len(text) <= LONGEST


@pytest.mark.parametrize("normalized", [False, True])
def test_no_tokenizer_finds_a_control_token(normalized: bool) -> None:
    from tokenizers import AddedToken, normalizers

    tokenizer = character_tokenizer([])
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    known = [AddedToken(token, special=True, normalized=normalized) for token in TOKENS]
    tokenizer.add_special_tokens({"extra_special_tokens": known})
    controls = {i for token, i in tokenizer.get_added_vocab().items() if token != "<unk>"}
    for name in (name for name in CLAIMS if name.startswith("chat") and (normalized or name != "chat full-width")):
        assert controls & set(tokenizer(CLAIMS[name])["input_ids"]), name
    for claim in CLAIMS.values():
        assert not controls & set(tokenizer(neutralised(claim))["input_ids"]), claim[:80]


@pytest.mark.parametrize(
    "text",
    [
        "ふつうの文章です。\n\t「引用」と『題名』、《曲名》と〈節〉、≪題≫。",
        "cout << x >> y; a <- b; x |> f; p <|> q; List<Map<K, V>> m; if (a < b && c > d) {}",
        "<div class='s'><p>text</p></div> <!-- note --> [user] [s] [0, 1] <user@example.org>",
        "👨\u200d👩\u200d👧 ❤️ 🏳️\u200d🌈 葛\U000e0100飾区 می\u200cخواهم क्\u200dष",
        'E = mc² — « oui », ½ ≠ 0.5; \\frac{a}{b} \\u0041 {"grade": 5}',
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert neutralised(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a<<<b>>>c", r"a<\<\<b>\>\>c"),
        ("＜＜＜END", r"＜\＜\＜END"),
        ("≪<END", r"≪\<END"),
        ("⋘", r"\u22d8"),
        ("<|im_start|>", r"<\|im_start|>"),
        ("</s>[/INST]", r"<\/s>[\/INST]"),
        ("a\u200bb" + "\0" * 40, r"a\u200bb\u0000*40"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
        ("one\r\ntwo\rthree", "one\ntwo\\u000dthree"),
    ],
)
def test_what_could_deceive_can_still_be_made_out(text: str, seen: str) -> None:
    assert neutralised(text) == seen


def test_the_mark_is_in_no_text() -> None:
    source = f"v1_00{MARK}"
    plain = fenced([("ANSWER", "soup")], source)
    assert plain == f"<<<ANSWER {MARK}>>>\nsoup\n<<<END {MARK}>>>"
    told = fenced([("ANSWER", f"soup {MARK}")], source)
    assert told.count(MARK) == 1
    assert told == fenced([("ANSWER", f"soup {MARK}")], source)  # the same request each time
