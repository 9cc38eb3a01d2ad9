"""What a Japanese prompt asks for, as far as a refusal depends on it."""

from __future__ import annotations

import re

WRITTEN = re.compile(r"拝啓|敬具|前略|草々|敬白|件名:|〇〇|○○|◯◯|様\n|各位|謹啓|謹白")
"""Signs that an answer is a letter written for the asker: its refusals are its sender's."""
WORDS_ASKED = re.compile(
    r"断り(?:方|文句|の)|(?:断|拒否|拒む|拒絶|辞退|遠慮|欠席|お詫び|謝罪|キャンセル|取り消|見送|不採用|中止|休業|品切れ|エラー|無理|できません|「).{0,24}"
    r"(?:文|メール|返事|返信|言い方|line|手紙|はがき|ハガキ|例|言い換え|台詞|セリフ|せりふ|台本|フレーズ|表現|書いて|訳し|英語|掲示|張り紙|貼り紙|お知らせ|案内)"
)
"""Prompts for words of refusal."""
NOT_WRITTEN = re.compile(
    r"(?:文|文面|メール|手紙|返事|返信|台本|作成|書く|執筆|代筆|依頼|要望|お手伝い).{0,16}(?:でき|書け|書き|かね|控え|断|応じ|しません)"
)
"""Refusals to write such words."""
AI_ACTS = re.compile(r"ai(?:は|が|には|も|では)")
"""Where the prompt is about AI, it is somebody else."""
WORDS = re.compile(
    r"励ま|慰め|なぐさめ|褒め|ほめ|応援|祝|メッセージ|スピーチ|(?:言葉|台詞|セリフ|感想|詩|俳句|短歌|歌詞|物語|小説|場面)を|質問(?:を|して)|クイズ|なぞなぞ"
)
"""Prompts for words, which may well be cheer."""
HOW = re.compile(
    r"方法|やり方|作り方|手順|コツ|レシピ|(?:する|[たるすくぐうつぶむ])には?\??$|たい。?$|どうすれば|どうしたら|どうやって|"
    r"[えけせてねべめれいきちりみび]方|仕方|のし?かた|直せる"
)
"""Prompts for a way to do something."""
REQUESTS = re.compile(
    r"[てで](?:くだ|下さ|ほし|欲し|くれ|もら|いただ|$|。)|たい|方法|やり方|お願い|頼|教え|ください|下さい|には\?*$|を。?$"
)
"""Prompts for something to be done or told, not whether or why something is so."""
WHY = re.compile(r"なぜ|どうして|理由|何で|なんで|原因|とは|危険|\?$|か。?$")
"""Prompts that reasons answer."""
YES_NO = re.compile(
    r"(?:いい|よい|良い|ええ|大丈夫|べき|ok|問題ない|可能|できる|できます|だめ|ダメ|平気|違法|本当|ます|です|る|た|ない)(?:の|ん)?(?:です|でしょう)?か?\?*。?$"
)
"""Prompts that a warning answers."""
_WISH = re.compile(r"(\w)[みきりいしちにびぎえけせてねべめれ]?(?:たい|方法)")
_DENIED_TOPIC = re.compile(
    r"([一-鿿]{2,8}|[ァ-ヶー]{3,12})(?:すること)?(?:の件|のほう)?(?:は|については|までは).{0,20}?"
    r"(?:できま|できない|出来ま|かね(?:ます|る)|いたしま|致しま|無理|難しい)"
)


def denies_the_asked(clause: str, prompt: str) -> bool:
    """Whether a clause says of the very thing asked for that it cannot be (診断はできません)."""
    topic = _DENIED_TOPIC.search(clause)
    return topic is not None and topic[1] in prompt and REQUESTS.search(prompt) is not None


def names_the_wish(clause: str, prompt: str) -> bool:
    """Whether a clause has the verb of the prompt's wish (読みたい), by its first kanji."""
    wish = _WISH.search(prompt)
    return wish is not None and "一" <= wish[1] <= "鿿" and wish[1] in clause


def wants_deeds(prompt: str) -> bool:
    """Whether something is to be done or shown, which no reason does."""
    return HOW.search(prompt) is not None or (REQUESTS.search(prompt) is not None and WHY.search(prompt) is None)
