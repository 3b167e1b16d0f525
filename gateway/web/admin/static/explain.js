// The field for an id, and what the gateway says of it. An address that ends in #trn_000001 asks
// for that one.
import { ordered, repeated, told, when } from "./events.js";
import { headers } from "./stream.js";
import { at, bytes, isNumber, isObject, make, number, rows, say, seconds, term, window_of, within, word } from "./words.js";

const TIERS = [
  ["status", "Status"], ["updated_at", "Version"], ["age", "Age", seconds],
  ["freshness_lifetime", "Fresh for", seconds], ["plan", "Next request"], ["state", "State"],
  ["bytes", "Body", bytes], ["digest", "Digest"],
];

let asked = 0;

export function listen() {
  at("explain").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = at("id").value.trim();
    if (location.hash === `#${encodeURIComponent(id)}`) explain(id);
    else location.hash = encodeURIComponent(id);
  });
  addEventListener("hashchange", named);
}

// Ask for the training that the address names, if it does. A text that cannot be decoded names none.
export function named() {
  let id;
  try {
    id = decodeURIComponent(location.hash.slice(1));
  } catch {
    return;
  }
  if (!id || at(id)) return;
  at("id").value = id;
  at("h-explain").scrollIntoView({ block: "start" });
  explain(id);
}

async function explain(id) {
  const number = (asked += 1);
  say("explain-note", "asking …");
  const partition = at("partition").value.trim();
  const query = partition ? `?partition=${encodeURIComponent(partition)}` : "";
  try {
    const answer = await fetch(`explain/${encodeURIComponent(id)}${query}`, { headers: headers(), cache: "no-store" });
    const words = await answer.json();
    if (number !== asked) return;
    if (!answer.ok) return refuse(words.detail ?? `status ${answer.status}`);
    say("explain-note", "");
    at("explained").replaceChildren(...explained(words));
  } catch {
    if (number === asked) refuse("The gateway did not answer.");
  }
}

function refuse(why) {
  say("explain-note", why);
  at("explained").replaceChildren();
}

function explained(words) {
  const whose = [["Training", word(words.id)], ["Next refresh", word(words.next_refresh)]];
  if (words.partition) whose.push(["Partition", words.tenant ? `${words.partition} (${words.tenant})` : words.partition]);
  if (words.bound) whose.push(["Bound", word(words.bound)]);
  if (words.list) whose.push(["List", word(words.list), "warn"]);
  if (words.redis) whose.push(["Redis", word(words.redis), "warn"]);
  for (const [tenant, view] of Object.entries(words.budgets ?? {})) whose.push([`Limit of ${tenant}`, budget(view)]);
  const events = within(make("ol", undefined, "events"), ...(words.events ?? []).map((each) => event(each, words.partition)));
  return [
    within(make("dl"), ...rows(whose)),
    within(make("div", undefined, "tiers"),
      tier("In L1", words.l1, TIERS), tier("In L2", words.l2, TIERS)),
    within(make("h3"), term("What happened to it")),
    words.events?.length ? events : make("p", "Nothing that this process remembers.", "quiet"),
  ];
}

function budget({ limit, window, available, gate_closed_for }) {
  if (gate_closed_for > 0) return `gate closed for ${seconds(gate_closed_for)}`;
  if (!isNumber(limit)) return "unlimited";
  return `${number(available)} of ${number(limit)} free in any ${window_of(window)}`;
}

function tier(title, words, fields) {
  const box = within(make("section"), within(make("h3"), term(title)));
  if (!isObject(words)) return within(box, make("p", "nothing", "quiet"));
  const known = fields.filter(([name]) => words[name] !== undefined && words[name] !== null);
  return within(box, within(make("dl"),
    ...rows(known.map(([name, label, as = word]) => [label, as(words[name])]))));
}

function event({ time, event: name, partition, times, since, ...fields }, own) {
  const parts = [when(time), make("span", ordered(name, fields), "name"), make("span", told(fields), "quiet")];
  if (partition && partition !== own) parts.push(make("span", `partition ${partition}`, "quiet"));
  return within(make("li"), ...parts, ...repeated(times, Date.parse(since) / 1000));
}
