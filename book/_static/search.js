// The search page: looks for the words of the address (?q=) in the texts of searchindex.js, which the build writes
// (builder.py), and lists the pages in which all of them stand. Needs Stemmer and stopwords of language_data.js.
const Search = (() => {
  "use strict";

  const SHOWN = 10; // at first; the rest at the reader's wish
  const EXCERPT = 190; // letters
  // A chapter explains; a figure's page, a notebook or a list repeats.
  const LESSER = /^(figures|notebooks|claims)(\/|$)|^(index|cite|glossary)$/;
  // What the paper says comes before what came after it.
  const LATER = /^(covariate-shift|learning-rate-share|depth|weight-decay|small-batches|statistics-at-test|recurrent|only-gamma-beta|why-it-works|pitfalls|old-code)$/;

  // Words

  // Particles, and the endings that make a verb of a noun; the longest that fits is taken off.
  const ENDINGS = `
    은 는 이 가 을 를 의 에 와 과 도 만 로 나 으로 에서 에게 까지 부터 처럼 보다 마다 조차 밖에
    이나 이며 이고 이다 이란 에는 에도 에만 에서는 에서도 에서의 으로는 으로도 으로서 으로써
    로서 로써 로는 로도 와의 과의 와는 과는
    하다 하는 하고 하며 하면 하여 하지 해서 했다 한다 한 할 함 해
    되다 되는 되고 되며 되면 되어 되지 돼서 됐다 된다 된 될 됨 돼
  `.trim().split(/\s+/).sort((a, b) => b.length - a.length);
  const VERB = /^(하|해|했|한|할|함|되|돼|됐|된|될|됨|시키|시켰)/;
  const HANGUL = /[가-힣]/;
  const LETTER = "[\\p{Script=Latin}\\p{Script=Greek}\\p{N}_]";
  const WORD = new RegExp(`[가-힣]+|${LETTER}+(?:[.'’]${LETTER}+)*`, "gu");
  const BETWEEN = "[\\s·_/'’-]*"; // the words of a term: mini-batch, minibatch

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  /** The word without particles and verb endings; at least two syllables stay. */
  const root = (word) => {
    const ending = ENDINGS.find((one) => word.length >= one.length + 2 && word.endsWith(one));
    return ending ? root(word.slice(0, -ending.length)) : word;
  };

  /** What a Korean word looks like in a text: anywhere in a word, or with spaces where a compound begins. */
  const korean = (word) => {
    const stem = root(word);
    return stem.length === 1
      ? `(?<!${HANGUL.source})${stem}`
      : `(?:${stem}|(?<!${HANGUL.source})${[...stem].join("\\s?")})`;
  };

  /** What an English word begins with in all its forms: accurac of accuracy, whose stem is accuraci. */
  const beginning = (word) => {
    const stem = new Stemmer().stemWord(word);
    let same = 0;
    while (same < word.length && stem[same] === word[same]) same++;
    return word.slice(0, same < 3 ? word.length : same);
  };

  /** What a word in other letters looks like: in any form (normaliz: normalizes, normalization), but numbers and
      the shortest words (BN) as they are. */
  const foreign = (word) => {
    if (/^[\d.]+$/.test(word)) return `(?<![\\d.])${escaped(word)}(?!\\d|\\.\\d)`;
    if (!/[a-z]/.test(word)) return escaped(word);
    const end = word.length < 3 ? "(?![a-z0-9])" : "[a-z]*";
    return `(?<![a-z0-9])${escaped(beginning(word))}${end}`;
  };

  const pattern = (spelling) =>
    spelling.toLowerCase().match(WORD).map((word) => (HANGUL.test(word) ? korean(word) : foreign(word))).join(BETWEEN);

  /** How a spelling of a term is recognized in a query: with any spaces, with particles, in the plural. */
  const recognized = (spelling) => {
    const parts = spelling.match(WORD).map((word) => (HANGUL.test(word) ? [...word].join("\\s*") : escaped(word)));
    const before = HANGUL.test(spelling[0]) ? (spelling.length === 1 ? `(?<!${HANGUL.source})` : "") : "(?<![a-z0-9])";
    const after = HANGUL.test(spelling.at(-1))
      ? (spelling.length === 1 ? `(?=(?:${ENDINGS.join("|")})?(?!${HANGUL.source}))` : "")
      : "(?:e?s)?(?![a-z0-9])";
    return new RegExp(before + parts.join(BETWEEN) + after, "giu");
  };

  // What is wanted: a query is a list of { typed, terms, found }, where `found` matches in a text what was typed and
  // the terms in all their spellings.

  const wanted = (typed, terms) =>
    ({ typed, terms, found: new RegExp([...new Set([typed, ...terms.flat()].map(pattern))].join("|"), "giu") });

  /** The terms that a word in Latin letters begins, so that it finds them in Korean too. */
  const begun = (word, terms) => {
    const start = /^[a-z]{4,}$/i.test(word) && beginning(word.toLowerCase());
    return start ? terms.filter((term) => term.some((spelling) => spelling.toLowerCase().startsWith(start))) : [];
  };

  /** The query's terms, the longest spelling first, then its other words. */
  const parse = (query, terms) => {
    const SEAM = "\u0001"; // where a term was
    const spellings = terms.flatMap((term) => term.map((spelling) => ({ spelling, term })));
    spellings.sort((a, b) => b.spelling.length - a.spelling.length);
    const parts = [];
    let rest = query.normalize("NFKC"); // macOS types syllables in pieces
    for (const { spelling, term } of spellings)
      rest = rest.replace(recognized(spelling), (typed) => {
        parts.push(wanted(typed, [term]));
        return SEAM;
      });
    const left = [...rest.matchAll(WORD)].filter(({ 0: word, index }) => {
      if (ENDINGS.includes(word)) return false;
      const beside = rest[index - 1] === SEAM || rest[index + word.length] === SEAM;
      return !(beside && HANGUL.test(word) && (word.length === 1 || VERB.test(word)));
    }).map(([word]) => word);
    const meant = left.filter((word) => !stopwords.includes(word.toLowerCase()));
    const words = meant.length || parts.length ? meant : left;
    parts.push(...words.map((word) => wanted(word, begun(word, terms))));
    return parts.filter((part, number) => parts.findIndex((one) => one.found.source === part.found.source) === number);
  };

  // What is found

  const count = (text, part) => [...text.matchAll(part.found)].length;

  /** How well a page answers one part of a query, 0 to some 100: by its title, the more the part is of it and the
      nearer its beginning; then by its headings; then by its text. */
  const answer = (sections, part) => {
    const title = sections[0][1];
    const places = [...title.matchAll(part.found)];
    const share = places.reduce((sum, [words]) => sum + words.length, 0) / title.length;
    const inTitle = places.length && 30 + 30 * share + (places[0].index ? 0 : 10);
    const headings = sections.slice(1).filter(([, heading]) => count(heading, part)).length;
    const times = sections.reduce((sum, [, , text]) => sum + count(text, part), 0);
    return inTitle + (headings && 8 + 2 * headings) + 2 * Math.log2(1 + times);
  };

  /** The pages with the most parts of the query, the best first: { page, sections, missing, score }. */
  const find = (pages, parts) => {
    const answers = Object.entries(pages).filter(([, sections]) => sections.length)
      .map(([page, sections]) => ({ page, sections, scores: parts.map((part) => answer(sections, part)) }));
    // A word that few pages have says more.
    const weights = parts.map((part, number) =>
      Math.log(1 + answers.length / (1 + answers.filter(({ scores }) => scores[number]).length)));
    const hits = answers.map(({ page, sections, scores }) => ({
      page,
      sections,
      missing: parts.filter((part, number) => !scores[number]),
      score: scores.reduce((sum, score, number) => sum + weights[number] * score, 0) * (LESSER.test(page) ? 0.1 : LATER.test(page) ? 0.3 : 1),
    }));
    const fewest = Math.min(...hits.map(({ missing }) => missing.length));
    if (fewest === parts.length) return []; // none has any
    return hits.filter(({ missing }) => missing.length === fewest).sort((a, b) => b.score - a.score);
  };

  /** The section of a page that has the most of the query, and the piece of its text that has the most of that:
      { id, heading, before, text, after }. */
  const excerpt = (sections, parts) => {
    const worth = ([, heading, text]) => parts.reduce((sum, part) => {
      const times = count(text, part);
      return sum + (times || count(heading, part) ? 100 : 0) + 10 * Math.min(1, count(heading, part)) + Math.min(9, times);
    }, 0);
    const best = sections.reduce((one, other) => (worth(other) > worth(one) ? other : one));
    const [id, heading, text] = best;
    const places = parts.flatMap((part) => [...text.matchAll(part.found)].map(({ index }) => ({ index, part })))
      .sort((a, b) => a.index - b.index);
    const variety = (start) => new Set(
      places.filter(({ index }) => index >= start && index < start + EXCERPT - 60).map(({ part }) => part)).size;
    const first = places.reduce((one, { index }) => (variety(index) > variety(one) ? index : one), places[0]?.index ?? 0);
    const start = first > 50 ? text.indexOf(" ", first - 50) + 1 : 0;
    const end = text.length > start + EXCERPT ? text.lastIndexOf(" ", start + EXCERPT) : text.length;
    const piece = text.slice(Math.min(start, first), Math.max(end, first));
    return { id, heading, text: `${start ? "… " : ""}${piece}${end < text.length ? " …" : ""}` };
  };

  // What is shown

  const languages = document.body.className.match(/bn-edition-([\w-]+)/)[1].split("-");

  const element = (name, className, ...children) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    node.append(...children);
    return node;
  };

  /** A sentence in the languages of the edition. */
  const say = (texts) => languages.flatMap((lang, number) => {
    const words = element("span", "", texts[lang]);
    words.lang = lang;
    return number ? [" · ", words] : [words];
  });

  /** The text, with what was looked for marked. */
  const marked = (text, parts) => {
    const all = new RegExp(parts.map(({ found }) => found.source).join("|"), "giu");
    const pieces = [];
    let end = 0;
    for (const { 0: words, index } of text.matchAll(all)) {
      pieces.push(text.slice(end, index), element("mark", "", words));
      end = index + words.length;
    }
    return [...pieces, text.slice(end)];
  };

  const link = (page, id, parts, sections, ...children) => {
    const node = element("a", "", ...children);
    node.href = `${page}.html${id && `#${id}`}`;
    // The page that opens marks these words (sphinx_highlight.js).
    node.addEventListener("click", () => {
      const text = sections.flat().join(" ");
      const words = parts.flatMap(({ found }) => [...text.matchAll(found)].flatMap(([match]) => match.toLowerCase().split(/\s+/)));
      localStorage.setItem("sphinx_highlight_terms", [...new Set(words)].join(" "));
    });
    return node;
  };

  const item = ({ page, sections, missing }, parts) => {
    const { id, heading, text } = excerpt(sections, parts);
    const title = element("h2", "", link(page, "", parts, sections, ...marked(sections[0][1], parts)));
    const context = element("p", "context");
    if (id) context.append(link(page, id, parts, sections, ...marked(heading, parts)), " — ");
    context.append(...marked(text, parts));
    const line = element("li", "", title, context);
    if (missing.length) {
      const words = missing.map(({ typed }) => typed).join(", ");
      line.append(element("p", "bn-missing", ...say({ ko: `없는 단어: ${words}`, en: `Missing: ${words}` })));
    }
    return line;
  };

  const summary = (hits, parts) => {
    if (!hits.length) return say({
      ko: "찾은 페이지가 없다. 철자를 확인하거나 더 짧은 단어로 찾아본다.",
      en: "Nothing found. Check the spelling, or try a shorter word.",
    });
    if (hits[0].missing.length) return say({
      ko: "모든 단어가 들어 있는 페이지는 없다. 단어가 가장 많이 들어 있는 페이지는 다음과 같다.",
      en: "No page has all of these words. These have most of them.",
    });
    const pages = hits.length === 1 ? "1 page" : `${hits.length} pages`;
    return say({ ko: `${hits.length}개 페이지`, en: pages });
  };

  /** The terms that were looked for under another name than what was typed. */
  const meant = (parts) => {
    const names = parts.flatMap(({ typed, terms }) => terms.map(([ko, en]) => ({ typed, ko, en })))
      .map(({ typed, ...name }) => languages.map((lang) => name[lang])
        .filter((word) => word.toLowerCase() !== typed.toLowerCase()).join(" · "));
    const list = [...new Set(names.filter(Boolean))].join(", ");
    return list ? [element("br", ""), ...say({ ko: `함께 찾은 말: ${list}`, en: `Also looked for: ${list}` })] : [];
  };

  const show = (hits, parts) => {
    const list = element("ul", "search");
    const more = (from, to) => list.append(...hits.slice(from, to).map((hit) => item(hit, parts)));
    more(0, SHOWN);
    const output = document.getElementById("search-results");
    output.querySelector(".search-summary").replaceChildren(...summary(hits, parts), ...meant(parts));
    output.append(list);
    const rest = hits.length - SHOWN;
    if (rest <= 0) return;
    const button = element("button", "bn-more", ...say({ ko: `나머지 ${rest}개 보기`, en: `Show the other ${rest}` }));
    button.type = "button";
    button.addEventListener("click", () => {
      more(SHOWN);
      button.remove();
      list.children[SHOWN].querySelector("a").focus();
    });
    output.append(button);
  };

  const setIndex = ({ pages, terms }) => {
    const query = new URLSearchParams(location.search).get("q") ?? "";
    document.querySelectorAll('input[name="q"]').forEach((field) => { field.value = query; });
    // Where no page has a term as it is, its words may stand apart.
    const readings = [parse(query, terms), parse(query, [])].map((parts) => [find(pages, parts), parts]);
    const whole = readings.find(([[best]]) => best && !best.missing.length);
    if (readings[0][1].length) show(...(whole ?? readings[0]));
    else document.querySelector(".bd-search-container input").focus();
  };

  return { setIndex };
})();
