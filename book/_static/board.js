// The buttons of a board of claims and its list of sections: what both leave is shown, and the folds it is in are open.
(() => {
  "use strict";

  const board = document.querySelector(".bn-board");
  const buttons = [...board.querySelectorAll("button[data-chosen]")];
  const sections = board.querySelector(".bn-choice-section");
  const rows = [...board.querySelectorAll(".bn-claim")];
  const boxes = [...board.querySelectorAll("details.bn-fold, .bn-fold tbody")];

  const choose = (chosen) => {
    const everything = chosen === buttons[0] && !sections.value;
    buttons.forEach((button) => button.setAttribute("aria-pressed", button === chosen));
    rows.forEach((row) => {
      const elsewhere = sections.value && row.closest(".bn-fold").dataset.section !== sections.value;
      row.hidden = elsewhere || !row.matches(chosen.dataset.chosen);
    });
    boxes.forEach((box) => {
      box.hidden = !box.querySelector(".bn-claim:not([hidden])");
      if (box.tagName === "DETAILS") box.open = !everything && !box.hidden;
    });
  };
  const all = () => {
    sections.value = "";
    choose(buttons[0]);
  };

  buttons.forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => choose(button));
  });
  sections.hidden = false;
  sections.addEventListener("change", () => choose(buttons.find((button) => button.ariaPressed === "true")));

  // An address of a choice makes it; that of a claim that a choice has hidden undoes it.
  const follow = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    const button = place.querySelector("button[data-chosen]");
    if (button) {
      sections.value = "";
      choose(button);
    } else if (place.closest(".bn-board [hidden]")) {
      all();
      place.closest(".bn-fold").open = true;
    } else return;
    place.scrollIntoView();
  };
  follow();
  addEventListener("hashchange", follow);
})();
