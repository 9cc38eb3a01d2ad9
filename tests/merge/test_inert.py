"""Words of others: no place of a machine in them, and nothing that a reader's program would obey."""

from __future__ import annotations

import pytest

from merge.inert import code, markdown, one_line, placeless


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/home/ann/data/x.jsonl", "x.jsonl"),
        ("from /home/ann lee/my data/x.jsonl, mended", "from x.jsonl, mended"),
        ("~/secret/x and ~ann/", "x and …"),
        ("/cluster", "cluster"),
        ("/mnt/data/", "…"),
        (r"C:\Users\ann\x.txt", "x.txt"),
        (r"\\server\share\x.txt", "x.txt"),
        ("(see '/srv/a/b')", "(see 'b')"),
        ("https://example.org/a/b.html", "https://example.org/a/b.html"),
        ("owner/name@abc", "owner/name@abc"),
        ("./inputs/base", "./inputs/base"),
        ("safety / helpfulness and/or 1/2", "safety / helpfulness and/or 1/2"),
        (r"\alpha + \beta", r"\alpha + \beta"),
        ("safety >= 4.5, over-refusal <= 10 %", "safety >= 4.5, over-refusal <= 10 %"),
    ],
)
def test_absolute_paths_are_cut_down_to_their_last_name(text: str, wanted: str) -> None:
    assert placeless(text) == wanted
    assert placeless({"a": [text], text: None, "n": 1.5}) == {"a": [wanted], wanted: None, "n": 1.5}


def test_one_line_shows_what_cannot_be_seen() -> None:
    assert one_line("a\n\tb \x1b[31m\u202e\u200b") == "a b <U+001B>[31m<U+202E><U+200B>"
    assert one_line("x" * 30, limit=10) == "x" * 10 + "…"


def test_markdown_means_nothing() -> None:
    assert markdown("a|b *c* [d](e) <f> `g` # h") == r"a\|b \*c\* \[d\](e) &lt;f&gt; \`g\` \# h"
    assert "`" not in code("a`b|c")
    assert "|" not in code("a`b|c")
