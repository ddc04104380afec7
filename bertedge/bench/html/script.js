"use strict";
(function () {
  // Point an engine out: all others step back, in every figure.
  const buttons = document.querySelectorAll("[data-pick]");
  function pick(chosen) {
    document.body.classList.toggle("picking", chosen !== null);
    document.querySelectorAll("[data-engine]").forEach(function (part) {
      part.classList.toggle("picked", part.dataset.engine === chosen);
    });
    buttons.forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.pick === chosen));
    });
  }
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      pick(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.pick);
    });
  });

  // The record, laid out again as `bench --json` does for people: indented.
  const download = document.getElementById("download");
  download.addEventListener("click", function () {
    const data = JSON.parse(document.getElementById("data").textContent);
    const blob = new Blob([JSON.stringify(data, null, 2) + "\n"], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = download.dataset.file;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
  });

  // Folded tables are printed too.
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open])").forEach(function (part) {
      part.open = true;
      part.dataset.folded = "";
    });
  });
  addEventListener("afterprint", function () {
    document.querySelectorAll("details[data-folded]").forEach(function (part) {
      part.open = false;
      delete part.dataset.folded;
    });
  });
})();
