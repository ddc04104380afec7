"use strict";
(function () {
  const EVERY_MS = 1000;
  const MOST_BARS = 10;
  const MOST_TEXTS = 50;
  const MOST_SHOWN = 20000;
  const COLORS = 7;
  const HISTORY = 60;
  const NAMES = {
    text: "Text", pair: "Second text", question: "Question", context: "Context", endings: "Choices, one a line",
  };

  const at = (id) => document.getElementById(id);
  let models = [];
  let chosen = null;
  let key = "";
  let asking = null;
  let timer = 0;
  let watching = false;
  let typed = {};
  const history = new Map();

  class Trouble extends Error {
    constructor(message, status) {
      super(message);
      this.status = status;
    }
  }

  // Elements, whose texts are only ever text.
  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes || {})) element.setAttribute(attribute, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function percent(score) {
    return `${(100 * score).toFixed(1)}\u00a0%`;
  }

  function amount(value) {
    if (value === null || value === undefined) return "–";
    return value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });
  }

  // The server.
  async function ask(path, options) {
    if (/[^\x20-\x7e]/.test(key)) throw new Trouble("An API key has plain ASCII characters alone.", 401);
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    let response, body;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", redirect: "error" });
      body = await response.text();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Trouble("The server does not answer. Is it still running?", 0);
    }
    let data = null;
    try {
      data = JSON.parse(body);
    } catch {
      throw new Trouble(`The server answered ${response.status}, and no JSON.`, response.status);
    }
    if (response.status === 401) throw new Trouble(refused(), 401);
    if (!response.ok) {
      const said = data && typeof data.error === "string" ? data.error : "no reason given";
      throw new Trouble(`${said} (${response.status})`, response.status);
    }
    return { data, body, timing: response.headers.get("Server-Timing") || "" };
  }

  function refused() {
    return key ? "The server does not accept this API key (401)." : "This server asks for an API key (401).";
  }

  function connected(trouble) {
    say("connection", trouble);
    at("now").classList.toggle("stale", trouble !== "");
  }

  function say(id, message) {
    if (at(id).textContent !== message) at(id).textContent = message;
  }

  function askForKey() {
    if (!at("key-form").hidden) return;
    at("key-form").hidden = false;
    at("key").focus();
  }

  // What is served, and how it does.
  async function watch() {
    clearTimeout(timer);
    timer = 0;
    if (watching || document.hidden) return;
    watching = true;
    let again = true;
    try {
      const limit = { signal: AbortSignal.timeout(5000) };
      const now = (await ask("status", limit)).data;
      const known = models.map((model) => model.name + model.sha256).join();
      if (!now.unready && known !== now.models.map((model) => model.name + model.sha256).join()) {
        await findModels();
      }
      show(now);
      connected(now.unready ? `Not ready: ${now.unready}.` : "");
    } catch (trouble) {
      if (!(trouble instanceof Trouble)) throw trouble;
      connected(trouble.message);
      if (trouble.status === 401) askForKey();
      again = trouble.status !== 401;
    } finally {
      watching = false;
    }
    if (again) timer = setTimeout(watch, EVERY_MS);
  }

  async function findModels() {
    models = (await ask("models")).data;
    at("key-form").hidden = true;
    at("main").hidden = false;
    const wanted = chosen ? chosen.name : decodeURIComponent(location.hash.slice(1));
    at("model").replaceChildren(...models.map((model) => make("option", {}, model.name)));
    choose(models.find((model) => model.name === wanted) || models[0]);
    at("all").hidden = models.length < 2;
  }

  function show(now) {
    at("window").textContent = now.window_s;
    for (const model of now.models) {
      const lines = history.get(model.name) || { rate: [], median: [], queued: [], errors: [] };
      history.set(model.name, lines);
      lines.rate.push(model.requests_per_second);
      lines.median.push(model.p50_ms || 0);
      lines.queued.push(model.queued_tokens);
      lines.errors.push(model.errors_per_second);
      for (const line of Object.values(lines)) line.splice(0, line.length - HISTORY);
      if (chosen && model.name === chosen.name) showOne(model, lines);
    }
    at("models").replaceChildren(...now.models.map((model) => make("tr", {},
      make("th", { scope: "row" }, model.name),
      ...["requests_per_second", "p50_ms", "p99_ms", "queued_tokens", "errors_per_second"].map(
        (name) => make("td", {}, amount(model[name]))))));
  }

  function showOne(model, lines) {
    at("rate").textContent = amount(model.requests_per_second);
    at("rows").textContent = `${amount(model.rows_per_second)} inputs a second`;
    at("median").textContent = amount(model.p50_ms);
    at("p99").textContent = model.p99_ms === null ? "no request lately" : `99 % within ${amount(model.p99_ms)} ms`;
    at("queued").textContent = amount(model.queued_tokens);
    at("speed").textContent = model.tokens_per_second ? `${amount(model.tokens_per_second)} a second when busy` : "";
    at("errors").textContent = amount(model.errors_per_second);
    for (const [name, values] of Object.entries(lines)) {
      const most = Math.max(...values, 1e-9);
      const points = values.map((value, i) => `${HISTORY - values.length + i},${15 - (14 * value) / most}`);
      at(`${name}-line`).firstElementChild.setAttribute("points", points.join(" "));
    }
  }

  // The form: a field for each part of an input.
  function choose(model) {
    const before = chosen;
    chosen = model;
    at("model").value = model.name;
    const labels = model.labels.length && !["question-answering", "multiple-choice"].includes(model.task);
    at("about").textContent = [
      model.task, labels ? `${model.labels.length} labels` : null, `reads ${model.max_length} tokens`,
      model.variant, model.sha256.slice(0, 8),
    ].filter(Boolean).join(" · ");
    const form = (one) => one && JSON.stringify([one.name, one.task, one.reads, one.mask_token]);
    if (form(before) === form(model)) return; // opened anew: what is typed stays
    at("now-heading").textContent = models.length > 1 ? `Now: ${model.name}` : "Now";
    at("fields").replaceChildren(...model.reads.flatMap(field));
    empty();
  }

  function field(name) {
    const vectors = chosen.task === "feature-extraction";
    const id = `field-${name}`;
    const short = name === "question";
    const entry = make(short ? "input" : "textarea", { id, name, dir: "auto", ...(short ? { type: "text", autocomplete: "off" } : { rows: 3 }) });
    entry.value = typed[name] || "";
    entry.addEventListener("input", () => { typed[name] = entry.value; });
    const parts = [make("label", { for: id }, vectors ? "Texts, one a line" : NAMES[name] || name), entry];
    if (chosen.mask_token && name === "text") {
      parts.push(make("p", { id: "hint", class: "about" }, `Write ${chosen.mask_token} where a word is to be found.`));
      entry.setAttribute("aria-describedby", "hint");
    }
    return parts;
  }

  function lines(text) {
    return text.split("\n").map((line) => line.trim()).filter(Boolean);
  }

  function input() {
    const entries = chosen.reads.map((name) => [name, at(`field-${name}`).value]);
    if (chosen.task === "feature-extraction") {
      const texts = lines(entries[0][1]);
      if (!texts.length) throw new Trouble("Give a text a line; two or more are compared.");
      if (texts.length > MOST_TEXTS) throw new Trouble(`${texts.length} texts; give ${MOST_TEXTS} at most here.`);
      return texts;
    }
    return Object.fromEntries(entries.map(([name, value]) => [name, name === "endings" ? lines(value) : value]));
  }

  function empty() {
    say("error", "");
    say("said", "");
    at("answer").replaceChildren();
    at("took").textContent = "";
    at("raw").hidden = true;
    at("empty").hidden = false;
  }

  async function predict() {
    if (asking) asking.abort();
    const mine = (asking = new AbortController());
    const model = chosen;
    try {
      const sent = input();
      const body = JSON.stringify(sent);
      const path = `predict/${encodeURIComponent(model.name)}`;
      const answer = await ask(path, { method: "POST", body, signal: mine.signal });
      if (mine.signal.aborted || model.name !== chosen.name) return;
      empty();
      at("empty").hidden = true;
      draw(sent, answer.data);
      at("took").append(make("small", {}, took(answer.timing)));
      const quoted = body.replaceAll("'", "'\\''");
      at("curl").textContent = `curl ${new URL(path, location).href}${key ? ' -H "Authorization: Bearer $KEY"' : ""} -d '${quoted}'`;
      const shown = JSON.stringify(answer.data, null, 2);
      at("json").textContent = shown.length > MOST_SHOWN ? `${shown.slice(0, MOST_SHOWN)}…` : shown;
      at("raw").hidden = false;
    } catch (trouble) {
      if (trouble.name === "AbortError") return;
      if (!(trouble instanceof Trouble)) throw trouble;
      empty();
      at("empty").hidden = true;
      say("error", trouble.message);
      if (trouble.status === 401) askForKey();
    }
  }

  function took(header) {
    const times = Object.fromEntries(header.split(", ").map((part) => part.split(";dur=")));
    if (!times.total) return "";
    const ms = (name) => Number(times[name]).toLocaleString("en", { maximumFractionDigits: 2 });
    return `${ms("total")} ms on the server: ${ms("queue")} waiting, ${ms("tokenize")} tokenizing, ${ms("infer")} in the model, ${ms("decode")} decoding`;
  }

  // Answers.
  function draw(sent, found) {
    const parts = at("answer");
    const text = sent.text;
    if (Array.isArray(found)) drawVectors(sent, found);
    else if ("value" in found) say("said", found.value.toLocaleString("en", { maximumFractionDigits: 4 }));
    else if ("intent" in found) {
      say("said", `${found.intent}, ${percent(found.score)}`);
      speak(found.slots);
      parts.append(marked(text, found.slots), bars(ranked(found.scores), [found.intent]));
    } else if ("entities" in found) {
      const count = found.entities.length;
      say("said", count ? `${count} span${count > 1 ? "s" : ""}` : "No spans in this text");
      speak(found.entities);
      parts.append(marked(text, found.entities), bars(found.entities.map((each) => [`${each.label}: ${each.text}`, each.score]), []));
    } else if ("masks" in found) drawMasks(found.masks);
    else if ("answers" in found) drawAnswers(sent.context, found);
    else if ("chosen" in found) {
      say("said", `${found.chosen}, ${percent(found.score)}`);
      const choices = found.scores.map((score, i) => [sent.endings[i], score]);
      parts.append(bars(choices, [], found.choice));
    } else if ("labels" in found) {
      const best = found.labels.map((label) => `${label}, ${percent(found.scores[label])}`);
      say("said", best.join("; ") || "No label reaches the threshold");
      parts.append(bars(ranked(found.scores), found.labels));
    } else if ("label" in found) {
      say("said", Object.hasOwn(found.scores, found.label) ? `${found.label}, ${percent(found.score)}` : `${found.label}: no label reaches the threshold`);
      parts.append(bars(ranked(found.scores), [found.label]));
    }
    for (const note of notes(Array.isArray(found) ? found : [found])) parts.append(make("p", { class: "about" }, note));
  }

  function notes(found) {
    const all = [];
    if (found.some((each) => each.truncated)) all.push(`Longer than the model reads (${chosen.max_length} tokens): its end was not seen.`);
    if (found[0] && found[0].windows > 1) all.push(`Read in ${found[0].windows} overlapping windows.`);
    return all;
  }

  function ranked(scores) {
    return Object.entries(scores).sort((one, other) => other[1] - one[1]);
  }

  // Spans for a screen reader; who sees has them marked in the text.
  function speak(spans) {
    const listed = spans.map((span) => `; ${span.label}: ${span.text}`).join("");
    at("said").append(make("span", { class: "spoken" }, listed));
  }

  // Best first; what is beyond the first ten is folded.
  function bars(rows, best, place) {
    const items = rows.map(([name, score], i) => {
      const bar = make("span");
      bar.style.width = `${Math.min(Math.max(100 * score, 0), 100)}%`;
      const own = best.includes(name) || i === place ? "best" : "name";
      return make("li", {}, make("span", { class: own, dir: "auto" }, name), make("span", { class: "share" }, percent(score)),
        make("span", { class: "bar", "aria-hidden": "true" }, bar));
    });
    if (items.length <= MOST_BARS + 2) return make("ul", { class: "bars" }, ...items);
    const rest = make("details", {}, make("summary", {}, `${items.length - MOST_BARS} more`), make("ul", { class: "bars" }, ...items.slice(MOST_BARS)));
    return make("div", {}, make("ul", { class: "bars" }, ...items.slice(0, MOST_BARS)), rest);
  }

  // Offsets count characters as Python does; a string's own are of UTF-16.
  function marked(text, spans) {
    const characters = Array.from(text);
    const tags = chosen.labels.filter((label) => label !== "O" && !label.startsWith("intent:"));
    const kinds = [...new Set(tags.map((label) => label.replace(/^[BI]-/, "")))];
    const parts = [];
    let end = 0;
    for (const span of [...spans].sort((one, other) => one.start - other.start)) {
      if (span.start < end) continue;
      parts.push(characters.slice(end, span.start).join(""));
      const color = Math.max(kinds.indexOf(span.label), 0) % COLORS;
      const words = make("span", { class: "span" }, characters.slice(span.start, span.end).join(""));
      parts.push(make("mark", { class: `part-${color}` }, words, span.label ? make("small", {}, span.label) : null));
      end = span.end;
    }
    parts.push(characters.slice(end).join(""));
    return make("p", { class: "marked", dir: "auto" }, ...parts);
  }

  function drawAnswers(context, found) {
    const best = found.answer;
    say("said", best ? `${best.text}, ${percent(best.score)}` : "No answer in this context");
    const rows = found.answers.map((each) => [each.text, each.score]);
    rows.push(["(no answer)", found.no_answer]);
    at("answer").append(marked(context, best ? [{ ...best, label: "" }] : []), bars(rows, best ? [] : ["(no answer)"], best ? 0 : -1));
  }

  function drawMasks(masks) {
    say("said", masks.map((fills) => fills[0].token).join(", ") || "The mask was not seen");
    masks.forEach((fills, i) => {
      if (masks.length > 1) at("answer").append(make("h3", {}, `Mask ${i + 1}`));
      at("answer").append(bars(fills.map((fill) => [fill.token, fill.score]), [], 0));
    });
  }

  function drawVectors(texts, found) {
    const vectors = found.map((each) => each.values);
    const dot = (one, other) => one.reduce((sum, value, i) => sum + value * other[i], 0);
    const lengths = vectors.map((vector) => Math.sqrt(dot(vector, vector)));
    const cosine = (i, j) => dot(vectors[i], vectors[j]) / (lengths[i] * lengths[j] || 1);
    if (texts.length === 1) {
      say("said", `${vectors[0].length} numbers, of length ${lengths[0].toFixed(3)}`);
      at("answer").append(make("p", { class: "about" }, "Give a second line for the cosine of both."));
      return;
    }
    if (texts.length === 2) say("said", `Cosine ${cosine(0, 1).toFixed(3)}`);
    else {
      const pairs = texts.flatMap((_, i) => texts.slice(i + 1).map((_, j) => [cosine(i, i + 1 + j), i + 1, i + 2 + j]));
      const [most, one, other] = pairs.reduce((best, pair) => (pair[0] > best[0] ? pair : best));
      say("said", `Nearest are lines ${one} and ${other}, cosine ${most.toFixed(3)}`);
    }
    const cell = (i, j) => {
      const value = cosine(i, j);
      const element = make("td", {}, value.toFixed(2));
      element.style.background = `color-mix(in srgb, var(--accent) ${Math.round(Math.max(value, 0) * 35)}%, var(--card))`;
      return element;
    };
    const head = make("tr", {}, make("td"), ...texts.map((_, i) => make("th", { scope: "col" }, String(i + 1))));
    const body = texts.map((text, i) => make("tr", {}, make("th", { scope: "row", dir: "auto" }, `${i + 1}. ${text}`), ...texts.map((_, j) => cell(i, j))));
    const table = make("table", {}, make("caption", {}, "Cosines"), make("thead", {}, head), make("tbody", {}, ...body));
    at("answer").append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Cosines" }, table));
  }

  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  at("form").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    at("form").requestSubmit();
  });
  at("model").addEventListener("change", () => {
    choose(models.find((model) => model.name === at("model").value));
    window.history.replaceState(null, "", `#${encodeURIComponent(chosen.name)}`);
    watch();
  });
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = at("key").value.trim();
    at("key").value = "";
    at("key-form").hidden = true;
    say("error", "");
    watch();
  });
  document.addEventListener("visibilitychange", () => {
    history.clear();
    watch();
  });
  watch();
})();
