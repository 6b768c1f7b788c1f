"""Search for Korean pages: a word is found with and without its particle, a compound with or without a space.

Sphinx splits at white space only: 기억 misses 기억을, and 배치정규화 misses 배치 정규화. Here a page is
indexed under every part of its Korean words (two syllables or more) and under neighbouring words joined; what
a reader types only loses its particle. English words on the same page are stemmed as in an English book.
"""

import json
import re
from itertools import pairwise

from sphinx.search.en import SearchEnglish

# Particles, and the endings that make a verb of a noun.
PARTICLES = """
은 는 이 가 을 를 의 에 와 과 도 만 로 나 으로 에서 에게 까지 부터 처럼 보다 마다 조차 밖에
이나 이며 이고 이다 이란 에는 에도 에만 에서는 에서도 에서의 으로는 으로도 으로서 으로써
로서 로써 로는 로도 와의 과의 와는 과는
하다 하는 하고 하며 하면 하여 하지 해서 했다 한다 한 할 함 해
되다 되는 되고 되며 되면 되어 되지 돼서 됐다 된다 된 될 됨 돼
"""
# Longer endings first: the first that fits is taken off.
ENDINGS = sorted(PARTICLES.split(), key=lambda ending: (-len(ending), ending))
WORD = re.compile(r"[가-힣]+|[^\W가-힣]+")
HANGUL = re.compile(r"[가-힣]")

# The reader's side: the same words, the same endings taken off, nothing added.
JS_SPLITTER = (
    f"const koreanEndings = {json.dumps(ENDINGS, ensure_ascii=False)};"
    + r"""
const koreanRoot = (word) => {
  const ending = koreanEndings.find((e) => word.length >= e.length + 2 && word.endsWith(e));
  return ending ? koreanRoot(word.slice(0, -ending.length)) : word;
};
var splitQuery = (query) =>
  (query.match(/[가-힣]+|[\p{L}\p{N}_]+?(?=[가-힣]|[^\p{L}\p{N}_]|$)/gu) || [])
    .filter((word) => !koreanEndings.includes(word))
    .map(koreanRoot);
"""
)


def root(word: str) -> str:
    """The word without particles and verb endings; at least two syllables stay."""
    for ending in ENDINGS:
        if len(word) >= len(ending) + 2 and word.endswith(ending):
            return root(word.removesuffix(ending))
    return word


def parts(word: str) -> set[str]:
    """The word, its root, and every run of at least two syllables within the root."""
    stem = root(word)
    runs = {stem[start:end] for start in range(len(stem)) for end in range(start + 2, len(stem) + 1)}
    short = {word[0]} if len(word) == 2 and word[1] in ENDINGS else set()
    return runs | short | {word, stem}


class SearchKorean(SearchEnglish):
    """Sphinx's index and search page for Korean, English words included."""

    lang = "ko"
    language_name = "Korean"
    js_stemmer_rawcode = ""
    js_splitter_code = JS_SPLITTER

    def split(self, input: str) -> list[str]:
        """The terms a text is indexed under; a word that is nothing but a particle (SGD의) is left out."""
        words = [word for word in WORD.findall(input) if word not in ENDINGS]
        terms: list[str] = []
        for word, following in pairwise([*words, ""]):
            if not HANGUL.match(word):
                terms.append(word)
                continue
            terms += sorted(parts(word))
            if HANGUL.match(following) and root(word) == word:
                terms.append(word + root(following))
        return terms

    def stem(self, word: str) -> str:
        """English words as in English; Korean terms come out of `split` ready."""
        return word if HANGUL.match(word) else super().stem(word)
