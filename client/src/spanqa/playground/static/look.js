// Before the page is painted: the chosen look. A classic script, since modules run later.
"use strict";
(() => {
  const root = document.documentElement;
  const show = (look) => {
    if (look === "light" || look === "dark") root.dataset.look = look;
    else delete root.dataset.look;
  };
  let stored = null;
  try {
    stored = localStorage.getItem("look");
  } catch {
    // Storage is switched off: the choice lasts until the page is closed.
  }
  show(stored);
  document.addEventListener("DOMContentLoaded", () => {
    for (const radio of document.querySelectorAll("input[name=look]")) {
      radio.checked = radio.value === (root.dataset.look ?? "system");
      radio.addEventListener("change", () => {
        show(radio.value);
        try {
          localStorage.setItem("look", radio.value);
        } catch {
          // As above.
        }
      });
    }
  });
})();
