"""A small tokenizer made from a corpus, with the chat template that all three models carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BOS, EOS, PAD, UNK = "<s>", "</s>", "<pad>", "<unk>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
RUNS = r"\p{Han}+|\p{Hiragana}+|[\p{Katakana}ー]+|\p{Latin}+|\p{N}|[^\p{Han}\p{Hiragana}\p{Katakana}\p{Latin}\p{N}ー]"
"""Runs of one script. Merges stay inside a run, so a new word is still spelled from the pieces of known ones."""
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- '<|' + message['role'] + '|>' + message['content'] }}"
    "{%- if message['role'] == 'assistant' %}{{- eos_token }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A transformers PreTrainedTokenizerFast: BPE of at most `vocab_size` tokens over runs of one script.

    Special tokens are never added by encoding; the chat template writes them.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(RUNS), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    specials = [PAD, BOS, EOS, UNK, *ROLES]
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNK,
        additional_special_tokens=list(ROLES),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
