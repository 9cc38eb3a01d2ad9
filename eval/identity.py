"""Ids of what the store holds (contract: 128 bits of sha256 over canonical JSON, prefixed by kind and version)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mergescope.ground.ids import content_id, text_hash

Message = Mapping[str, str]
"""One turn: `role` (system, user, assistant) and `content`."""


def storable(text: str) -> str:
    """`text` as the store can hold it: a lone surrogate, which UTF-8 cannot say, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text_id(body: str) -> str:
    """Id of a text as stored; texts that differ in one byte differ."""
    return f"t1_{text_hash(body)[:32]}"


def prompt_id(messages: Sequence[Message]) -> str:
    """Id of a prompt: roles and contents, byte for byte."""
    return content_id("q1", [[m["role"], text_hash(m["content"])] for m in messages])


def sampling_id(setting: Mapping[str, object]) -> str:
    """Id of all that changes a text besides weights and prompt."""
    return content_id("g2", dict(setting))


def answer_id(checkpoint: str, prompt: str, sampling: str, sample_ix: int) -> str:
    """Id of one checkpoint's answer to one prompt."""
    return content_id("a1", [checkpoint, prompt, sampling, sample_ix])


def judge_id(setting: Mapping[str, object]) -> str:
    """Id of a judge: model asked, host, rubrics, decoding, output mode, language."""
    return content_id("j1", dict(setting))


def judgement_id(judge: str, kind: str, prompt: str, answer_text: str, reference_text: str | None, repeat: int) -> str:
    """Id of a judgement, from ids of all that the judge is shown; equal answers of two checkpoints share it."""
    return content_id("v1", [judge, kind, prompt, answer_text, reference_text, repeat])


def comparison_id(judge: str, prompt: str, first_text: str, second_text: str, repeat: int) -> str:
    """Id of a judgement of two answers, from ids of all that the judge is shown, in the order in which it is shown."""
    return content_id("v1", [judge, "pairwise", prompt, first_text, second_text, repeat])
