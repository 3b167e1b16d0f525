// The live page: asks /status every two seconds and shows what it says, whatever keys it has.
// Everything is written with textContent: what comes from upstream or a log is never markup.
"use strict";

const EVERY = 2000;
const PATIENCE = 5000;
const SHOWN = ["version", "ready", "draining", "uptime_seconds", "requests", "hit_rate",
  "upstream", "budgets", "redis", "l1", "events"];
const REJECTED = "rejected";

const at = (id) => document.getElementById(id);
const shown = new Map();
let token = "";
let timer = 0;
let asking = false;
let again = false;

// ---- values

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const part = (value) => (isObject(value) ? value : {});
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const total = (counts) => Object.values(counts).filter(isNumber).reduce((sum, n) => sum + n, 0);

function number(value, digits = 0) {
  return isNumber(value) ? value.toLocaleString("en", { maximumFractionDigits: digits }) : "–";
}

function bytes(value) {
  if (!isNumber(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; value >= 1024 && step < units.length - 1; step += 1) value /= 1024;
  return `${number(value, step ? 1 : 0)} ${units[step]}`;
}

function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  const whole = Math.floor(seconds);
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return seconds > 0 ? `${number(seconds, 1)} s` : "0 s";
  return parts.slice(first, first + 2).filter(([amount]) => amount > 0).map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

function word(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (isNumber(value)) return String(Math.round(value * 1000) / 1000);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// ---- elements

function make(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

// Children are made anew only when `data` differs: a selection or the reader's place stays.
function show(id, data, children) {
  const text = JSON.stringify(data) ?? "";
  if (shown.get(id) === text) return;
  shown.set(id, text);
  at(id).replaceChildren(...children());
}

function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function pairs(rows) {
  return rows.flatMap(([name, value, kind]) => [make("dt", name), make("dd", value, kind)]);
}

function list(rows) {
  const element = make("dl");
  element.append(...pairs(rows));
  return element;
}

function meter(label, value, most, text) {
  const element = make("meter", text);
  element.max = Math.max(most, 1);
  element.value = value;
  element.setAttribute("aria-label", label);
  element.setAttribute("aria-valuetext", text);
  return element;
}

function tree(value, depth) {
  const element = make("div", undefined, "tree");
  const entries = Object.entries(value);
  const flat = entries.filter(([, each]) => !isObject(each));
  if (flat.length) element.append(list(flat.map(([name, each]) => [name, word(each)])));
  for (const [name, each] of entries.filter(([, inner]) => isObject(inner))) {
    element.append(make(depth ? "h4" : "h3", name), depth < 6 ? tree(each, depth + 1) : make("p", word(each)));
  }
  if (!entries.length) element.append(make("p", "nothing"));
  return element;
}

// ---- the sections

function state(name, text) {
  at("state").dataset.state = name;
  say("state", text);
}

function showState(status) {
  if (status.draining) state("draining", "draining");
  else if (status.ready) state("ready", "ready");
  else state("not-ready", "not ready");
  say("version", status.version === undefined ? "" : `version ${word(status.version)}`);
  say("uptime", isNumber(status.uptime_seconds) ? `up ${duration(status.uptime_seconds)}` : "");
}

function showRequests(status) {
  const requests = part(status.requests);
  const asked = total(requests) - (isNumber(requests[REJECTED]) ? requests[REJECTED] : 0);
  const known = isNumber(status.hit_rate) && asked > 0;
  say("hit-rate", known ? `${number(status.hit_rate * 100, 1)} %` : "–");
  say("asked", number(asked));
  show("requests", requests, () => pairs(Object.entries(requests).map(([name, n]) => [name, number(n)])));
}

// Calls by purpose stand in `upstream.calls`, or in `figures` under names with a dot.
function callsOf(status) {
  const own = part(part(status.upstream).calls);
  if (Object.keys(own).length) return own;
  const prefix = "upstream_calls.";
  return Object.fromEntries(Object.entries(part(status.figures))
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, n]) => [name.slice(prefix.length), n]));
}

function showUpstream(status) {
  const calls = callsOf(status);
  const { calls: _, circuit, ...others } = part(status.upstream);
  const inflight = part(status.figures).upstream_inflight;
  if (others.inflight === undefined && inflight !== undefined) others.inflight = inflight;
  say("calls", number(total(calls)));
  show("upstream", [calls, circuit, others], () => pairs([
    ["circuit", word(circuit), circuit === "closed" ? "good" : "bad"],
    ...Object.entries(others).map(([name, value]) => [name, word(value)]),
    ...Object.entries(calls).filter(([, n]) => n).map(([name, n]) => [`calls: ${name}`, number(n)]),
  ]));
}

// What is free, not what was used: a budget that starts paced is not all free, though unused.
function budget(name, view) {
  const known = isNumber(view.limit) && isNumber(view.available);
  const limit = isNumber(view.limit) ? `${number(view.limit)} calls` : "unlimited";
  const text = known ? `${number(view.available)} of ${limit} free now` : limit;
  const closed = isNumber(view.gate_closed_for) && view.gate_closed_for > 0;
  const rows = [
    ["in any window of", duration(view.window)],
    ["gate", closed ? `closed for ${duration(view.gate_closed_for)}` : "open", closed ? "bad" : "good"],
  ];
  const parts = [make("h3", name), make("p", text)];
  if (known) parts.push(meter(`free budget of ${name}`, view.available, view.limit, text));
  return [...parts, list(rows)];
}

function showBudgets(status) {
  const budgets = part(status.budgets);
  show("budgets", budgets, () => Object.entries(budgets).flatMap(([name, view]) => budget(name, part(view))));
}

function redisRow(redis) {
  if (!redis.configured) return ["Redis", "not used"];
  if (redis.up === true) return ["Redis", "up", "good"];
  return redis.up === false ? ["Redis", "away", "bad"] : ["Redis", "not known yet", "warn"];
}

function showStores(status) {
  const [redis, l1] = [part(status.redis), part(status.l1)];
  const size = `${bytes(l1.bytes)} of ${bytes(l1.max_bytes)}`;
  show("stores", [redis, l1], () => [
    list([redisRow(redis), ["entries in L1", number(l1.entries)], ["L1", size]]),
    ...(isNumber(l1.bytes) && isNumber(l1.max_bytes) ? [meter("L1 in use", l1.bytes, l1.max_bytes, size)] : []),
  ]);
}

function timeOf(value) {
  const moment = new Date(isNumber(value) ? value * 1000 : value ?? NaN);
  if (Number.isNaN(moment.getTime())) return make("span", word(value));
  const element = make("time", moment.toLocaleTimeString());
  element.dateTime = moment.toISOString();
  element.title = element.dateTime;
  return element;
}

function eventRow(happening) {
  const { time, event, fields, ...others } = part(happening);
  const details = { ...part(fields), ...others };
  const row = make("tr");
  const when = make("td");
  when.append(timeOf(time));
  const text = Object.entries(details).map(([name, value]) => `${name}=${word(value)}`).join("  ");
  row.append(when, make("td", word(event)), make("td", text));
  return row;
}

function emptyRow() {
  const cell = make("td", "None yet.");
  cell.colSpan = 3;
  const row = make("tr");
  row.append(cell);
  return row;
}

function showEvents(status) {
  const events = Array.isArray(status.events) ? status.events : [];
  show("events", events, () => (events.length ? events.map(eventRow) : [emptyRow()]));
}

function showStatus(status) {
  at("door").hidden = true;
  at("figures").hidden = false;
  at("figures").classList.remove("old");
  for (const each of [showState, showRequests, showUpstream, showBudgets, showStores, showEvents]) each(status);
  const rest = Object.fromEntries(Object.entries(status).filter(([name]) => !SHOWN.includes(name)));
  show("rest", rest, () => [tree(rest, 0)]);
}

// ---- asking

class Refused extends Error {}

async function ask(path) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 401) throw new Refused();
  const body = await answer.json();
  if (!answer.ok) throw new Error(part(body).detail ?? `status ${answer.status}`);
  return part(body);
}

function openDoor() {
  state("closed", "needs a token");
  at("figures").hidden = true;
  at("door").hidden = false;
  const why = token ? "That token is not the one." : "This page needs admin.token.";
  say("door-why", `${why} It is kept until the page is closed, and nowhere else.`);
}

async function poll() {
  if (asking) {
    again = true;
    return;
  }
  clearTimeout(timer);
  asking = true;
  try {
    showStatus(await ask("status"));
  } catch (error) {
    if (error instanceof Refused) openDoor();
    else silent(error);
  }
  asking = false;
  if (again) {
    again = false;
    await poll();
    return;
  }
  // Without the token nothing will change until one is typed.
  if (!document.hidden && at("door").hidden) timer = setTimeout(poll, EVERY);
}

function silent(error) {
  state("silent", "no answer");
  at("figures").classList.add("old");
  console.warn("/status:", error);
}

async function explain(event) {
  event.preventDefault();
  const id = at("id").value.trim();
  const partition = at("partition").value.trim();
  const query = partition ? `?partition=${encodeURIComponent(partition)}` : "";
  at("explained").replaceChildren();
  say("explain-note", "asking…");
  try {
    const words = await ask(`explain/${encodeURIComponent(id)}${query}`);
    at("explained").replaceChildren(tree(words, 0));
    say("explain-note", `What is known of ${id}:`);
  } catch (error) {
    if (error instanceof Refused) openDoor();
    say("explain-note", error instanceof Refused ? "A token is needed, see above." : `No explanation: ${error.message}`);
  }
}

at("explain").addEventListener("submit", explain);
at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  at("token").value = "";
  poll();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
poll();
