"use strict";
(function () {
  // What a mark is and its figure, for who points at it.
  document.querySelectorAll("figure svg [aria-label]").forEach(function (mark) {
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = mark.getAttribute("aria-label");
    mark.append(title);
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
