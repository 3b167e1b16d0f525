// What happened lately, in three lists: what became invalid, what was refused, and the rest.
import { clock, isNumber, make, show, within, word } from "./words.js";

const MOST = 12;
const INVALIDATED = ["entry.invalidated", "entry.believed"];
const REFUSED = ["access.refused", "payload.rejected", "entry.not-stored", "entry.regressed",
  "budget.denied", "upstream.token-refused", "upstream.gate-closed", "clients.refused"];
const WARNING = /failed|refused|rejected|away|denied|closed|regressed|unread/;
// An entry that changed is told as invalidated, too.
const TWICE = ["entry.changed"];

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
  const last = events.slice(0, MOST);
  show(id, [last, none], () => (last.length ? last.map(item) : [make("li", none, "quiet")]));
}

function item({ time, event, fields }) {
  const { id, ...others } = fields;
  const parts = [when(time), make("span", title(event, others), WARNING.test(event) ? "name warn" : "name")];
  if (typeof id === "string" && id) parts.push(id === "*" ? make("span", "all") : link(id));
  const rest = told(others);
  if (rest) parts.push(make("span", rest, "quiet"));
  return within(make("li"), ...parts);
}

// In a list of invalidations the name of the event says nothing: its cause does.
function title(event, fields) {
  if (event !== "entry.invalidated") return event;
  const [cause, by] = [word(fields.cause), word(fields.by)];
  delete fields.cause;
  delete fields.by;
  if (fields.count === 1) delete fields.count;
  return by === "upstream" ? cause : `${cause} by ${by}`;
}

export function told(fields) {
  return Object.entries(fields).map(([name, value]) => `${name.replaceAll("_", " ")} ${word(value)}`).join(" · ");
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
