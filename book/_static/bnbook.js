// Copying and citing, the language switch, the address of the page being read. No libraries.
(() => {
  "use strict";

  const page = document.documentElement;
  const keys = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘C" : "Ctrl+C";
  const words = page.lang === "ko"
    ? { copy: "복사", copied: "복사함", refused: `선택함: ${keys}로 복사`, failed: "복사하지 못함: PNG를 내려받을 것", absent: "여기에 없는 판" }
    : { copy: "Copy", copied: "Copied", refused: `Selected: press ${keys}`, failed: "Not copied: download the PNG", absent: "This edition is not here" };

  // Where the site's address is unset, citations name where the page is being read, if others can get there. Of
  // an address of this machine, or of a network at home, the placeholder stays, and a word about it.
  const reachable = /^https?:$/.test(location.protocol)
    && (location.hostname.includes(".") || /^\[[23]/.test(location.hostname))
    && !/(^(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01]))\.[\d.]+|\.(localhost|local|lan|internal|home\.arpa))$/.test(location.hostname);
  const edition = new URL(page.dataset.content_root || "./", location.href);
  const addressOf = (root = "./") => new URL(root, edition).href.replace(/\/$/, "");
  if (reachable) document.querySelectorAll("[data-bn-address]").forEach((word) => {
    word.parentElement.querySelectorAll(".bn-cite-text").forEach((text) => {
      text.textContent = text.textContent.replaceAll(word.dataset.bnAddress, addressOf(word.dataset.bnRoot));
    });
    word.remove();
  });

  // A link to a closed box, or into one, opens it.
  const openBox = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place || !place.closest("details:not([open])")) return;
    for (let box = place; box; box = box.parentElement.closest("details")) if (box.tagName === "DETAILS") box.open = true;
    place.scrollIntoView();
  };
  openBox();
  addEventListener("hashchange", openBox);

  // The switch stays at the place in the page: headings, figures, claims and the beginnings of pairs are the same
  // in all editions, and their number goes along behind the #. So does an anchor while the reader is still at it.
  const PLACE = /^#place-(\d+)-(\w+)-(-?[\d.]+)$/;
  const places = [...document.querySelectorAll("article :is(h1, h2, h3, h4, .bn-place, .bn-figure-box, .bn-claim:not(.bn-fold *))")];
  const header = document.querySelector(".bd-header-article");
  const beginning = () => Math.max(0, header?.getBoundingClientRect().bottom ?? 0);
  const topOf = (number) => (places[number] ?? document.querySelector("article")).getBoundingClientRect()[places[number] ? "top" : "bottom"];
  const here = () => {
    const start = beginning();
    const anchor = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const below = anchor && anchor.getBoundingClientRect().top - start;
    const atEnd = scrollY + innerHeight > document.documentElement.scrollHeight - 2;
    if (anchor && below > -64 && below < (atEnd ? innerHeight : 64)) return location.hash;
    if (!places.length || scrollY < 1) return "";
    const shown = places.map((place, number) => number).filter((number) => places[number].getClientRects().length);
    const next = shown.find((number) => topOf(number) >= start) ?? places.length;
    if (topOf(next) < start + (innerHeight - start) / 2) return `#place-${next}-at-${(topOf(next) - start).toFixed(1)}`;
    const last = shown.filter((number) => number < next).at(-1) ?? 0;
    return `#place-${last}-part-${((start - topOf(last)) / (topOf(last + 1) - topOf(last))).toFixed(4)}`;
  };
  const goThere = (number, how, amount) => {
    const top = topOf(number);
    const moved = how === "at" ? top - amount : top + amount * (topOf(number + 1) - top);
    scrollBy({ top: moved - beginning(), behavior: "instant" });
  };
  const arrived = location.hash.match(PLACE);
  if (arrived) {
    const place = [Number(arrived[1]), arrived[2], Number(arrived[3])];
    history.replaceState(null, "", location.pathname + location.search);
    goThere(...place);
    // Pictures above may still have moved it.
    addEventListener("load", () => goThere(...place), { once: true });
  }
  const switches = document.querySelectorAll("a.bn-edition");
  switches.forEach((link) => ["pointerdown", "focus", "click"].forEach((moment) =>
    link.addEventListener(moment, () => { link.hash = here(); })));

  // Where an edition was put alone on a server, the switch says so instead of leading to nothing. It asks when it
  // is used: asking on every page would cost all readers two requests. Of local files nobody can ask.
  switches.forEach((link) => link.addEventListener("click", async (event) => {
    if (location.protocol === "file:" || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const answer = await fetch(link.href, { method: "HEAD" }).catch(() => null);
    if (answer?.status !== 404) location.assign(link.href);
    else {
      link.setAttribute("aria-disabled", "true");
      link.title = words.absent;
      announce(words.absent);
    }
  }));

  // Copy buttons: those written in the page, and one for every block of code.
  document.querySelectorAll("div.highlight > pre").forEach((code) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "bn-button bn-copy bn-copy-code";
    button.dataset.copied = words.copied;
    button.textContent = words.copy;
    code.parentElement.append(button);
  });

  const live = document.createElement("div");
  live.className = "bn-live";
  live.setAttribute("role", "status");
  live.setAttribute("aria-live", "polite");
  document.body.append(live);

  const announce = (text) => { live.textContent = text; };

  // Where the browser keeps its clipboard from the page, the text is selected for the reader's own keys.
  const select = (text) => {
    text.focus();
    getSelection().selectAllChildren(text);
  };

  const say = (button, text, seconds = 2) => {
    const label = button.dataset.label ?? (button.dataset.label = button.textContent);
    button.textContent = text;
    announce(text);
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = label; announce(""); }, 1000 * seconds);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.bn-copy");
    if (!button) return;
    const text = button.closest(".bn-cite-item, .highlight").querySelector("pre");
    try {
      await navigator.clipboard.writeText(text.textContent.replace(/\n$/, ""));
      say(button, button.dataset.copied);
    } catch {
      select(text);
      say(button, words.refused, 6);
    }
  });

  // Copying a picture: where the browser takes pictures, and lets the page read its own files. It is drawn at
  // twice its size, for screens that have the pixels. The promise goes to the clipboard at once: Safari takes
  // nothing that comes after a wait.
  const drawn = async ({ svg, width, height }) => {
    const text = await (await fetch(svg)).text();
    const sized = text.replace("<svg ", `<svg width="${width}" height="${height}" `);
    const source = URL.createObjectURL(new Blob([sized], { type: "image/svg+xml" }));
    const picture = new Image();
    picture.src = source;
    try {
      await picture.decode();
    } finally {
      URL.revokeObjectURL(source);
    }
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return new Promise((give) => { canvas.toBlob(give, "image/png"); });
  };
  if (window.ClipboardItem && navigator.clipboard?.write && location.protocol !== "file:")
    document.querySelectorAll(".bn-cite-image").forEach((line) => {
      const button = line.querySelector("button");
      line.hidden = false;
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.write([new ClipboardItem({ "image/png": drawn(button.dataset) })]);
          say(button, button.dataset.copied);
        } catch {
          say(button, words.failed, 6);
        }
      });
    });

  // Boxes that scroll sideways can be reached with the keyboard, and fade where there is more.
  const boxes = document.querySelectorAll(".bn-table-scroll, .bn-formula");
  const fade = (box) => {
    const [before, after] = [box.scrollLeft, box.scrollWidth - box.clientWidth - box.scrollLeft];
    const more = [before > 1 && "before", after > 1 && "after"].filter(Boolean);
    more.length ? box.dataset.bnMore = more.join(" ") : delete box.dataset.bnMore;
    more.length ? box.tabIndex = 0 : box.removeAttribute("tabindex");
  };
  const watched = new ResizeObserver((changes) => changes.forEach((change) => fade(change.target)));
  boxes.forEach((box) => {
    box.addEventListener("scroll", () => fade(box), { passive: true });
    watched.observe(box);
  });

  // The live form of a figure: nothing of it is asked for before the click. Scripts run in their order.
  document.querySelectorAll("button.bn-plot-open").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      button.disabled = true;
      const parts = button.dataset.parts.split(" ").map((part) => {
        const isStyle = /\.css(\?|$)/.test(part);
        const made = document.createElement(isStyle ? "link" : "script");
        Object.assign(made, isStyle ? { rel: "stylesheet", href: part } : { async: false, src: part });
        made.addEventListener("error", () => { button.textContent = button.dataset.failed; });
        return made;
      });
      parts.at(-1).addEventListener("load", () => {
        if (document.querySelector(".bn-plots:not([hidden])")) button.parentElement.remove();
      });
      document.head.append(...parts);
    }, { once: true });
  });
})();
