"use strict";
(function () {
  // Point an engine out: the colours of all others step back, in every figure.
  const buttons = document.querySelectorAll("[data-pick]");
  const root = document.documentElement.style;
  function pick(chosen) {
    buttons.forEach(function (button, i) {
      const faded = chosen !== null && chosen !== i;
      button.setAttribute("aria-pressed", String(chosen === i));
      ["e", "m"].forEach(function (kind) {
        root.removeProperty("--" + kind + i);
        if (faded) root.setProperty("--" + kind + i, "var(--line)");
      });
      if (chosen === i) root.setProperty("--m" + i, "var(--e" + i + ")");
    });
  }
  buttons.forEach(function (button, i) {
    button.addEventListener("click", function () {
      pick(button.getAttribute("aria-pressed") === "true" ? null : i);
    });
  });
})();
