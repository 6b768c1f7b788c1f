// Copying, the language switch, and the address of the page being read. No libraries.
(() => {
  "use strict";

  const page = document.documentElement;
  const words = page.lang === "ko"
    ? { copy: "복사", copied: "복사했습니다", failed: "복사하지 못했습니다" }
    : { copy: "Copy", copied: "Copied", failed: "Could not copy" };

  // Where the site's address is unset, citations point to where the page is being read.
  const address = new URL(page.dataset.content_root || "./", location.href).href.replace(/\/$/, "");
  document.querySelectorAll("[data-bn-address]").forEach((text) => {
    text.textContent = text.textContent.replaceAll("{{address}}", address);
  });

  // The switch stays at the place in the page.
  const keepAnchor = () => document.querySelectorAll("a.bn-edition").forEach((link) => { link.hash = location.hash; });
  keepAnchor();
  addEventListener("hashchange", keepAnchor);

  // Copy buttons: those written in the page, and one for every block of code.
  document.querySelectorAll("div.highlight > pre").forEach((code) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "bn-copy bn-copy-code";
    button.dataset.copied = words.copied;
    button.textContent = words.copy;
    code.parentElement.append(button);
  });

  const live = document.createElement("div");
  live.className = "bn-live";
  live.setAttribute("role", "status");
  live.setAttribute("aria-live", "polite");
  document.body.append(live);

  const write = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // pages without a secure address
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("copy refused");
  };

  const say = (button, text) => {
    const label = button.dataset.label ?? (button.dataset.label = button.textContent);
    button.textContent = text;
    live.textContent = text;
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = label; live.textContent = ""; }, 2000);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.bn-copy");
    if (!button) return;
    const text = button.closest(".bn-cite-item, .highlight").querySelector("pre").textContent;
    try {
      await write(text.replace(/\n$/, ""));
      say(button, button.dataset.copied);
    } catch {
      say(button, words.failed);
    }
  });

  // Boxes that scroll sideways can be reached with the keyboard.
  const reachable = () => document.querySelectorAll(".bn-table-scroll, div.math").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  addEventListener("load", reachable);
  addEventListener("resize", reachable);

  // The search page reads each page found for its summary, which browsers refuse in local files.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined")
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();
