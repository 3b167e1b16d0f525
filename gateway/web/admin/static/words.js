// Values as words, and words as elements. Everything is written with textContent: what comes from
// upstream or from a log is never markup.

export const at = (id) => document.getElementById(id);
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

const NOTHING = "–";
const SPACE = "\u00a0"; // a number keeps its unit beside it

export function number(value, digits = 0) {
  return isNumber(value) ? value.toLocaleString("en", { maximumFractionDigits: digits }) : NOTHING;
}

// A share never says 100 % where something is missing, nor 0 % where something is there.
export function share(value) {
  if (!isNumber(value)) return NOTHING;
  if (value === 1 || value === 0) return `${value * 100}${SPACE}%`;
  const percent = value * 100;
  const digits = percent > 99 || percent < 1 ? 2 : 1;
  return `${number(Math.min(Math.max(percent, 0.01), 99.99), digits)}${SPACE}%`;
}

export function seconds(value) {
  if (!isNumber(value)) return NOTHING;
  if (value === 0) return `0${SPACE}s`;
  if (value < 0.001) return `${number(value * 1e6)}${SPACE}µs`;
  if (value < 1) return `${number(value * 1000, value < 0.1 ? 1 : 0)}${SPACE}ms`;
  if (value < 60) return `${number(value, value < 10 ? 1 : 0)}${SPACE}s`;
  return duration(value);
}

// The same where there is no room: one unit.
export function brief(value) {
  if (!isNumber(value) || value < 60) return seconds(value);
  const [unit, name] = value < 3600 ? [60, "min"] : value < 86400 ? [3600, "h"] : [86400, "d"];
  return `${number(value / unit, 1)}${SPACE}${name}`;
}

// What a limit is about: "in any" and this.
export const window_of = (value) => (value === 60 ? "minute" : value === 1 ? "second" : duration(value));

export function duration(value) {
  if (!isNumber(value)) return NOTHING;
  const whole = Math.round(value);
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return `0${SPACE}s`;
  return parts.slice(first, first + 2).filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${SPACE}${unit}`).join(" ");
}

export function bytes(value) {
  if (!isNumber(value)) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; value >= 1024 && step < units.length - 1; step += 1) value /= 1024;
  return `${number(value, step ? 1 : 0)}${SPACE}${units[step]}`;
}

export const clock = (value) => new Date(value * 1000).toLocaleTimeString("en-GB");

export function word(value) {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (isNumber(value)) return String(Math.round(value * 1000) / 1000);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function make(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

export function within(element, ...children) {
  element.append(...children);
  return element;
}

// Names of settings stand between backticks.
export function prose(text) {
  return text.split("`").map((part, each) => (each % 2 ? make("code", part) : part));
}

export function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

// Children are made anew only where the data differ: a selection or the reader's place stays.
const shown = new Map();
export function show(id, data, children) {
  const text = JSON.stringify(data) ?? "";
  if (shown.get(id) === text) return;
  shown.set(id, text);
  at(id).replaceChildren(...children());
}

export function meter(label, value, most, text) {
  const filled = make("span");
  filled.style.width = `${Math.min(100, (100 * value) / Math.max(most, 1))}%`;
  const element = within(make("div", undefined, "meter"), filled);
  element.setAttribute("role", "meter");
  element.setAttribute("aria-label", label);
  element.setAttribute("aria-valuemin", "0");
  element.setAttribute("aria-valuemax", String(most));
  element.setAttribute("aria-valuenow", String(Math.min(value, most)));
  element.setAttribute("aria-valuetext", text);
  return element;
}

// Words of the page that the glossary explains: each is a link to its section there.
const GLOSSARY = "docs/glossary.md";
const SECTIONS = {
  "fresh": "outcome", "stale, refreshing": "outcome", "stale, rescued": "rescue", "negative": "negative-entry",
  "fetched": "outcome", "failed": "outcome",
  "calls": "api-upstream", "limit": "budget", "not made": "budget", "fresh until": "fresh-stale-unusable",
  "Breaker": "breaker", "Last good response of the API": "api-upstream", "Calls to the API under way": "api-upstream",
  "Requests that wait for such a call": "collapse-single-flight", "Redis": "l1-l2", "Bus": "bus", "Replicas": "replica",
  "Responses in L1": "l1-l2", "Memory of L1": "l1-l2", "gate open": "gate", "gate closed": "gate",
  "Next refresh": "sweep", "Partition": "partition", "List": "sweep", "Limit": "budget",
  "In L1": "l1-l2", "In L2": "l1-l2", "Bound": "mark", "State": "mark",
  "Status": "negative-entry", "Version": "version", "Age": "fresh-stale-unusable",
  "Fresh for": "fresh-stale-unusable", "Next request": "outcome",
};

// Where the documents are: beside this page, unless the gateway says otherwise.
let base = "";

export function publishedAt(url) {
  base = url ? `${url}/` : "";
  for (const each of document.querySelectorAll("a.term")) {
    each.dataset.at ??= each.getAttribute("href");
    each.href = base + each.dataset.at;
  }
}

// A name as it is shown, as a link where the word that it begins with has a section.
export function term(name, word = name in SECTIONS ? name : name.split(" of ")[0]) {
  if (!(word in SECTIONS)) return name;
  const element = make("a", name, "term");
  element.dataset.at = `${GLOSSARY}#${SECTIONS[word]}`;
  element.href = base + element.dataset.at;
  return element;
}

export function rows(pairs) {
  return pairs.map(([name, value, kind]) =>
    within(make("div"), within(make("dt"), term(name)), make("dd", value, kind)));
}
