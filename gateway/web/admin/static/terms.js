// The words of the page, each a link to the section of the glossary that explains it.
import { make, within } from "./words.js";

const GLOSSARY = "docs/glossary.md";
const SECTIONS = {
  "fresh": "fresh", "stale, refreshing": "stale", "stale, rescued": "rescue", "negative": "negative-entry",
  "fetched": "outcome", "failed": "outcome",
  "calls": "api-upstream", "limit": "rate-limit", "not made": "budget",
  "median": "latency", "99 %": "latency", "fresh until": "fresh",
  "Breaker": "breaker", "Last good response of the API": "api-upstream", "Calls to the API under way": "api-upstream",
  "Requests that wait for such a call": "collapse-single-flight", "Redis": "l2", "Bus": "bus", "Replicas": "replica",
  "Responses in L1": "entry-stored-response", "Memory of L1": "l1", "Event loop late by": "event-loop",
  "gate open": "gate", "gate closed": "gate",
  "Training": "key", "Next refresh": "sweep", "Partition": "partition", "List": "sweep", "Limit": "budget",
  "In L1": "l1", "In L2": "l2", "Floor": "version-floor", "What happened to it": "event",
  "Status": "negative-entry", "Version": "version", "Age": "age", "Fresh for": "fresh", "Next request": "outcome",
  "Generation": "epoch-generation", "Epoch": "epoch-generation", "Body": "entry-stored-response",
  "Digest": "digest", "Below floor": "version-floor",
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
