// The live page: one stream, and where its figures go.
import * as events from "./events.js";
import * as explain from "./explain.js";
import * as plots from "./plots.js";
import { useToken, watch } from "./stream.js";
import { at, brief, bytes, clock, duration, isNumber, make, meter, number, prose, publishedAt, rows, say, seconds, share, show, term, window_of, within } from "./words.js";

const WHOSE = { us: "The gateway", upstream: "The API", redis: "Redis", nobody: "All well" };
const LATE = 3500;

let about = null;
let life = 0;
let heard = 0;
let was_lost = false;

// ---- the connection

function line(words) {
  heard = Date.now();
  const now = words.now;
  let is_other = false;
  if (words.about) {
    about = words.about;
    publishedAt(about.docs_url);
    plots.began(about);
    is_other = life !== 0 && life !== about.began;
    life = about.began;
    at("door").hidden = true;
    at("shown").hidden = false;
    if (was_lost) notice(is_other, life);
    was_lost = false;
  }
  figures(now);
  plots.take(words.rows, is_other);
  events.take(words.events, life);
  if (words.about) explain.named();
}

function notice(is_other, began) {
  const what = is_other ? `the gateway was started again at ${clock(began)}` : "the gateway is the same";
  say("notice", `Connected again at ${clock(Date.now() / 1000)}: ${what}.`);
  at("notice").hidden = false;
}

function lost(why, wait) {
  was_lost = heard > 0;
  state("lost", "no connection");
  at("shown").classList.add("old");
  say("notice", `${heard ? `Nothing since ${clock(heard / 1000)}` : "No connection"}: ${why}. Trying again in ${seconds(wait / 1000)}.`);
  at("notice").hidden = false;
}

function refused(why, status) {
  const wrong = status === 403 ? `That token does not open this page: ${why}.` : "That is not the token.";
  const fault = at("token").value ? wrong : "";
  say("door-fault", why.includes("admin.token") ? `Closed: ${why}.` : fault);
  state("closed", "needs a token");
  at("shown").hidden = true;
  at("notice").hidden = true;
  at("door").hidden = false;
  at("token").focus();
}

function state(name, text) {
  at("state").dataset.state = name;
  say("state-word", text);
}

// ---- the figures

function figures(now) {
  at("shown").classList.remove("old");
  if (now.draining) state("draining", "draining");
  else if (now.ready) state("ready", "live");
  else state("lost", "not ready");
  say("facts", [`version ${about.version}`, `up ${duration(now.uptime)}`, replicas(now.replicas)].filter(Boolean).join(" · "));
  verdict(now.findings, now.time);
  tiles(now);
  budgets(now);
  parts(now);
}

const replicas = (count) => (isNumber(count) ? `${number(count)} ${count === 1 ? "replica" : "replicas"}` : "");

function verdict([first, ...others], now) {
  at("verdict").dataset.level = first.level;
  // Read aloud when something else is so, not whenever a count in it moves.
  show("news", [first.level, first.whose, first.says.replace(/[\d.]+/g, "")], () => [`${WHOSE[first.whose] ?? first.whose}: ${first.says}`]);
  say("whose", WHOSE[first.whose] ?? first.whose);
  say("says", first.says);
  show("do", [first.do, first.runbook_url, since(first, now)], () => remedy(first, now));
  show("others", others.map((each) => [each, since(each, now)]), () => others.map((each) =>
    within(make("li", undefined, each.level), make("strong", `${WHOSE[each.whose]}: `), `${each.says}. `, within(make("span", undefined, "quiet"), ...remedy(each, now)))));
}

// Since when it is so, what to do, and where there is more about it.
function remedy(finding, now) {
  const parts = [...prose(finding.do), " "];
  const began = since(finding, now);
  if (began) parts.unshift(make("span", began, "since"), " ");
  if (finding.runbook_url) parts.push(runbook(finding));
  return parts;
}

const since = (finding, now) => (isNumber(finding.since) ? `Since ${clock(finding.since)}, for ${duration(Math.max(0, now - finding.since))}.` : "");

function runbook({ runbook: name, runbook_url: url }) {
  const element = make("a", `Runbook: ${name}`);
  element.href = url;
  return element;
}

function tiles({ minute, budgets: all }) {
  say("served", share(minute.served));
  const pace = minute.requests / 60;
  say("served-more", minute.requests
    ? `${number(pace, pace < 10 ? 1 : 0)} requests a second, 99\u00a0% within ${seconds(minute.p99)}`
    : "no requests in the last minute");
  grade("served", minute.served, 0.999, 0.99);
  say("hits", share(minute.hit_rate));
  say("hits-more", minute.requests ? `${number(minute.calls)} calls to the API in the last minute` : "of the last minute");
  say("age", brief(minute.age99));
  say("age-more", isNumber(minute.age99)
    ? `99\u00a0% was no older; median ${seconds(minute.age50)}, ${share(minute.stale)} stale${oldest(minute.oldest_stale)}`
    : `fresh for ${seconds(about.lifetime)} at most`);
  const scarce = all.find(({ limit }) => isNumber(limit));
  say("left", scarce ? number(scarce.available) : all.length ? "unlimited" : "–");
  say("left-more", scarce ? left(scarce, all.length) : "calls to the API");
  grade("left", scarce ? scarce.available / scarce.limit : null, 0.1, 0.02);
}

function oldest(age) {
  return isNumber(age) ? `, the oldest of them ${brief(age)}` : "";
}

function left({ tenant, limit, window }, count) {
  return `of ${number(limit)} calls in any ${window_of(window)}${count > 1 ? `, of ${tenant}, who has the least` : ""}`;
}

function grade(id, value, good, watch_from) {
  at(id).className = !isNumber(value) || value >= good ? "" : value >= watch_from ? "warn" : "bad";
}

function budgets(now) {
  show("budgets", [now.budgets, now.tenants], () => [
    ...now.budgets.map(budget),
    ...(now.tenants > now.budgets.length ? [make("p", `and ${number(now.tenants - now.budgets.length)} tenants with more left`, "quiet")] : []),
  ]);
}

function budget({ tenant, limit, available, window, gate_closed_for: closed }) {
  const limited = isNumber(limit) && isNumber(available);
  const text = limited ? `${number(available)} of ${number(limit)} free` : "unlimited";
  const box = within(make("div", undefined, "budget"), within(make("p"), make("strong", tenant), make("span", text, "value")));
  if (limited) box.append(meter(`free calls of ${tenant}`, available, limit, text));
  const gate = closed > 0
    ? within(make("span", undefined, "bad"), term("gate closed"), ` for another ${duration(closed)}: the API said 429`)
    : within(make("span", undefined, "quiet"), term("gate open"));
  return within(box, within(make("p", undefined, "small"), gate,
    make("span", limited ? `in any ${window_of(window)}` : "", "quiet")));
}

const BREAKER = { closed: "closed: the API is called", open: "open: the API is not called", "half-open": "half open: one call tries the API" };

function parts(now) {
  const redis = now.redis === null ? ["not used", ""] : now.redis ? ["reached", "good"] : ["away", "bad"];
  const bus = now.bus === null ? ["not used", ""] : now.bus ? ["connected", "good"] : ["cut off", "bad"];
  const ago = isNumber(now.last_success) ? `${duration(Math.max(0, now.time - now.last_success))} ago` : "none yet";
  show("parts", [now.circuit, now.inflight, ago, redis, bus, now.replicas, now.l1, now.waiters, now.loop_lag], () => rows([
    ["Breaker", BREAKER[now.circuit] ?? now.circuit, now.circuit === "closed" ? "good" : "bad"],
    ["Last good response of the API", ago],
    ["Calls to the API under way", number(now.inflight)],
    ["Requests that wait for such a call", number(now.waiters)],
    ["Redis", ...redis],
    ["Bus", ...bus],
    ["Replicas", isNumber(now.replicas) ? number(now.replicas) : "not known"],
    ["Responses in L1", number(now.l1.entries)],
    ["Memory of L1", `${bytes(now.l1.bytes)} of ${bytes(about.l1_max_bytes)}`],
    ["Event loop late by", seconds(now.loop_lag), now.loop_lag > 0.25 ? "bad" : ""],
  ]));
}

// ---- the beginning

const on = { line, lost, refused };

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("door").hidden) return; // a key that is held down sends the form again
  at("door").hidden = true;
  useToken(at("token").value);
  state("waiting", "connecting");
  watch(on);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", plots.redraw);
setInterval(() => {
  if (heard && Date.now() - heard > LATE) at("shown").classList.add("old");
}, 1000);
explain.listen();
watch(on);
