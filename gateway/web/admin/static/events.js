// What happened lately, in three lists: what became invalid, what was refused, and the rest.
import { clock, isNumber, make, number, show, within, word } from "./words.js";

const MOST = 12;
const INVALIDATED = ["entry.invalidated", "entry.believed"];
const REFUSED = ["access.refused", "payload.rejected", "entry.not-stored", "entry.regressed",
  "budget.denied", "upstream.token-refused", "upstream.gate-closed", "clients.refused", "tokens.refused"];
const WARNING = /failed|refused|rejected|away|denied|closed|lowered|regressed|unread|unconfirmed/;
// Fields that say it all without their name.
const SENTENCES = ["what", "why"];
const ID = /^[\w.~-]+$/;
// An entry that changed is told as invalidated, too, and an order by what it did.
const TWICE = ["entry.changed", "order.done"];

let happened = [];

// `life` names the process that told: its numbers begin at 1.
export function take(events, life) {
  const known = new Set(happened.map((each) => `${each.life} ${each.number}`));
  const fresh = events.map((each) => ({ ...each, life })).filter((each) => !known.has(`${life} ${each.number}`));
  if (!fresh.length) return;
  happened = [...fresh, ...happened].sort((one, other) => other.time - one.time).slice(0, 500);
  const named = (names) => happened.filter(({ event }) => names.includes(event));
  list("invalidations", named(INVALIDATED), "Nothing became invalid yet.");
  list("refusals", named(REFUSED), "Nothing was refused yet.");
  const others = [...INVALIDATED, ...REFUSED, ...TWICE];
  list("happened", happened.filter(({ event }) => !others.includes(event)), "Nothing else yet.");
}

function list(id, events, none) {
  const last = folded(events).slice(0, MOST);
  show(id, [last, none], () => (last.length ? last.map(item) : [make("li", none, "quiet")]));
}

// What repeats itself, but for its numbers, is told once: as it came last, and how often.
function folded(events) {
  const known = new Map();
  for (const { time, event, fields: { suppressed = 0, ...fields } } of events) {
    const name = JSON.stringify([event, ...Object.values(fields).filter((value) => !isNumber(value))]);
    const seen = known.get(name) ?? { time, event, fields, times: 0 };
    known.set(name, { ...seen, times: seen.times + 1 + suppressed, since: time });
  }
  return [...known.values()];
}

function item({ time, event, fields, times, since }) {
  const { id, ...others } = fields;
  const parts = [when(time), make("span", title(event, others), WARNING.test(event) ? "name warn" : "name")];
  if (typeof id === "string" && id) parts.push(ID.test(id) ? link(id) : make("span", id === "*" ? "all" : id));
  const rest = told(others);
  if (rest) parts.push(make("span", rest, "quiet"));
  return within(make("li"), ...parts, ...repeated(times, since));
}

export function repeated(times, since) {
  return times > 1 ? [make("span", `${number(times)} times since ${clock(since)}`, "quiet")] : [];
}

const CAUSES = { updated_at: "newer version", not_found: "not there any more" };

// In a list of invalidations the name of the event says nothing: its cause does.
function title(event, fields) {
  const order = ordered(event, fields);
  if (event !== "entry.invalidated" || order !== event) return order;
  const [cause, by] = [taken(fields, "cause"), taken(fields, "by")];
  const name = CAUSES[cause] ?? cause;
  return by === "replica" ? `${name} told by a replica` : name;
}

const BY_OPERATOR = "by an operator's order";
const ORDERS = { event: `invalidate ${BY_OPERATOR}`, purge: `purge ${BY_OPERATOR}`, write: "write by a caller" };

// What somebody ordered is named by the order, anything else by the event.
export function ordered(event, fields) {
  if (fields.count === 1) delete fields.count;
  if (event === "gateway.mode-moved") return `mode ${taken(fields, "mode")} ${BY_OPERATOR}`;
  if (event !== "entry.invalidated" || fields.by !== "order") return event;
  delete fields.by;
  return ORDERS[taken(fields, "cause")];
}

function taken(fields, name) {
  const { [name]: value } = fields;
  delete fields[name];
  return word(value);
}

export function told(fields) {
  const known = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.map(([name, value]) => (SENTENCES.includes(name) ? "" : `${name.replaceAll("_", " ")} `) + word(value)).join(" · ");
}

export function when(time) {
  const moment = new Date(isNumber(time) ? time * 1000 : time);
  const element = make("time", Number.isNaN(moment.getTime()) ? word(time) : clock(moment.getTime() / 1000));
  if (!Number.isNaN(moment.getTime())) element.dateTime = element.title = moment.toISOString();
  return element;
}

function link(id) {
  const element = make("a", id);
  element.href = `#${encodeURIComponent(id)}`;
  return element;
}
