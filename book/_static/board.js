// The buttons of a board of claims: each leaves the claims that its selector fits, and opens the folds they are in.
(() => {
  "use strict";

  const board = document.querySelector(".bn-board");
  const buttons = [...board.querySelectorAll("button[data-chosen]")];
  const rows = [...board.querySelectorAll(".bn-claim")];
  const boxes = [...board.querySelectorAll("details.bn-fold, .bn-fold tbody")];

  const choose = (chosen) => {
    buttons.forEach((button) => button.setAttribute("aria-pressed", button === chosen));
    rows.forEach((row) => { row.hidden = !row.matches(chosen.dataset.chosen); });
    boxes.forEach((box) => {
      box.hidden = !box.querySelector(".bn-claim:not([hidden])");
      if (box.tagName === "DETAILS") box.open = chosen !== buttons[0] && !box.hidden;
    });
  };

  buttons.forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => choose(button));
  });

  // An address of a choice makes it; that of a claim that a choice has hidden undoes it.
  const follow = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    const button = place.querySelector("button[data-chosen]");
    if (button) choose(button);
    else if (place.closest(".bn-board [hidden]")) {
      choose(buttons[0]);
      place.closest(".bn-fold").open = true;
    } else return;
    place.scrollIntoView();
  };
  follow();
  addEventListener("hashchange", follow);
})();
