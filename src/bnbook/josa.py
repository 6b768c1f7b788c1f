"""Korean particles (조사) behind numbers and names, chosen by how these are read aloud.

A particle has one form after a consonant and another after a vowel: 3은 (삼은), 2는 (이는). What a number
ends with changes whenever it is measured again, so the text names the particle and this chooses the form.
The libraries there are read digits well, but not percent signs and Latin letters.
"""

import re

# After a consonant, after a vowel; any of the forms names the pair. 으로 is 로 after ㄹ as well.
PAIRS = (
    ("은", "는"),
    ("이", "가"),
    ("을", "를"),
    ("과", "와"),
    ("으로", "로"),
    ("이다", "다"),
    ("이라", "라"),
)
FORMS = {form: pair for pair in PAIRS for form in pair}

DIGITS = dict(enumerate("영일이삼사오육칠팔구"))
TENS = {1: "십", 2: "백", 3: "천"}  # by the zeros at the end of a whole number; 만 and 억 beyond
LETTERS = {"l": "엘", "m": "엠", "n": "엔", "r": "알"}  # the names of all others end with a vowel
SIGNS = {"%": "퍼센트", "%p": "퍼센트포인트", "°": "도", "×": "배"}
NUMBER = re.compile(r"(?P<whole>\d[\d,]*)(?P<part>\.\d+)?$")
FIRST, LAST, FINALS = 0xAC00, 0xD7A3, 28
RIEUL = 8  # the final consonant ㄹ among them


def with_particle(text: str, particle: str) -> str:
    """`text` and its `particle`, any form of a pair of PAIRS, in the right one. Raises ValueError on a
    particle that is none."""
    if particle not in FORMS:
        raise ValueError(f"no particle {particle!r}; there is {', '.join(FORMS)}")
    after_consonant, after_vowel = FORMS[particle]
    final = _final(spoken(text))
    closed = final > 0 and not (after_consonant == "으로" and final == RIEUL)
    return text + (after_consonant if closed else after_vowel)


def spoken(text: str) -> str:
    """The last syllable of `text` as it is read aloud; "" where that cannot be told."""
    text = text.rstrip().rstrip(")]}'\"’”*`_")
    for sign in sorted(SIGNS, key=len, reverse=True):
        if text.endswith(sign):
            return SIGNS[sign][-1]
    if match := NUMBER.search(text):
        return _number(match["whole"].replace(",", ""), match["part"])
    last = text[-1:]
    if FIRST <= ord(last or "a") <= LAST:
        return last
    return LETTERS.get(last.lower(), "이")[-1] if last.isascii() and last.isalpha() else ""


def _number(whole: str, part: str | None) -> str:
    """The last syllable of a number: after the point digit by digit, before it by tens."""
    zeros = 0 if part else len(whole) - len(whole.rstrip("0"))
    if part or not zeros or not whole.strip("0"):
        return DIGITS[int((part or whole)[-1])]
    return TENS.get(zeros, "만" if zeros < 8 else "억")


def _final(syllable: str) -> int:
    """The number of its final consonant; 0 where it has none."""
    return (ord(syllable) - FIRST) % FINALS if syllable else 0
