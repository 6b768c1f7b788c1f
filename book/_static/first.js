// What every page needs before it is first painted. Scripts in the page itself are refused (policy.py), the theme's
// own too, in whose place this stands.
(() => {
  "use strict";

  // Where the reader keeps pages from storing anything, to touch localStorage is an error, and the search ends at
  // it. What would be stored is kept as long as the page.
  try {
    localStorage.getItem("");
  } catch {
    const kept = new Map();
    Object.defineProperty(window, "localStorage", {
      value: {
        getItem: (key) => kept.get(String(key)) ?? null,
        setItem: (key, value) => { kept.set(String(key), String(value)); },
        removeItem: (key) => { kept.delete(String(key)); },
      },
    });
  }

  // The theme waits for its deferred script before it goes dark.
  const page = document.documentElement;
  page.dataset.mode = localStorage.getItem("mode") || "auto";
  page.dataset.theme = localStorage.getItem("theme") || "";
  if (page.dataset.mode === "auto")
    page.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})();
