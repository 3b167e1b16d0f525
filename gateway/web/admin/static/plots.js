// Four plots of the same quarter of an hour. The rows are kept here: those of a process that ended
// stay, with a gap before those of the next.
import { at, brief, clock, isNumber, make, number, seconds, share, term, within } from "./words.js";

const HITS = ["fresh", "stale-refreshing", "stale-error", "stale-shielded", "negative"];
const FETCHED = ["filled", "revalidated", "collapsed", "bypassed"];
const COUNTED = [...HITS, ...FETCHED, "failed", "calls"];
const OVER = 5; // rows that a share, a latency or an age is over
const percent = (value) => `${number(value * 100, 1)} %`;

// What is drawn: a name, how it is told, and how it comes from the rows. Areas are stacked from
// the bottom up.
const PLOTS = {
  outcomes: {
    told: share, axis: percent, range: () => [0, 1], areas: true,
    series: [
      ["fresh", "fresh", (rows) => shares(rows, ["fresh"])],
      ["stale, refreshing", "refreshing", (rows) => shares(rows, ["stale-refreshing"])],
      ["stale, rescued", "rescued", (rows) => shares(rows, ["stale-error", "stale-shielded"])],
      ["negative", "negative", (rows) => shares(rows, ["negative"])],
      ["fetched", "fetched", (rows) => shares(rows, FETCHED)],
      ["failed", "failed", (rows) => shares(rows, ["failed"])],
    ],
  },
  calls: {
    told: (value) => number(value, 1), axis: (value) => number(value, 1), range: upTo(10),
    series: [
      ["calls", "refreshing", (rows) => rolling(rows, 60)],
      ["limit", "limit", (rows) => rows.limit],
      ["not made", "failed", (rows) => rolling(rows, 60, "denied")],
    ],
  },
  latency: {
    told: seconds, axis: brief, logarithmic: true,
    series: [
      ["median", "fresh", (rows) => smooth(rows.p50)],
      ["99 %", "rescued", (rows) => worst(rows.p99)],
    ],
  },
  freshness: {
    told: seconds, axis: brief, range: upTo(10), steps: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400],
    series: [
      ["median", "fresh", (rows) => smooth(rows.age50)],
      ["99 %", "rescued", (rows) => worst(rows.age99)],
      ["fresh until", "limit", (rows, about) => rows.time.map(() => about.lifetime)],
    ],
  },
};

const rows = { time: [] };
const drawn = new Map();
let about = { span: 900, every: 2, lifetime: 30 };

export function began(words) {
  about = words;
}

// Take the rows of a line; `gap`: those before are of another process.
export function take(fresh, gap) {
  const last = rows.time.at(-1) ?? 0;
  const from = fresh.time.findIndex((time) => time > last);
  if (from < 0) return;
  const length = rows.time.length;
  const hole = gap && length > 0;
  for (const [name, values] of Object.entries(fresh)) {
    const column = (rows[name] ??= new Array(length).fill(null));
    if (hole) column.push(name === "time" ? (last + fresh.time[from]) / 2 : null);
    column.push(...values.slice(from));
  }
  const old = rows.time.findIndex((time) => time > rows.time.at(-1) - about.span);
  if (old > 0) for (const column of Object.values(rows)) column.splice(0, old);
  draw();
}

// Colours change with the scheme: all is made anew.
export function redraw() {
  for (const { plot } of drawn.values()) plot.destroy();
  drawn.clear();
  if (rows.time.length) draw();
}

function draw() {
  for (const [name, plan] of Object.entries(PLOTS)) {
    const values = plan.series.map(([, , make_of]) => make_of(rows, about));
    const data = [rows.time, ...(plan.areas ? stacked(values) : values)];
    const own = drawn.get(name) ?? create(name, plan, data);
    own.values = values;
    own.plot.setData(data);
    tell(own, own.chosen);
  }
}

// ---- the figures

const sum = (columns, names, row) => names.reduce((total, name) => total + (columns[name]?.[row] ?? 0), 0);

function over(columns, names, row, count) {
  let total = 0;
  for (let each = Math.max(0, row - count + 1); each <= row; each += 1) total += sum(columns, names, each);
  return total;
}

function shares(columns, names) {
  return columns.time.map((_, row) => {
    const all = over(columns, [...HITS, ...FETCHED, "failed"], row, OVER);
    return all && columns.fresh[row] !== null ? over(columns, names, row, OVER) / all : null;
  });
}

function rolling(columns, span, name = "calls") {
  const values = columns[name] ?? [];
  let [total, from] = [0, 0];
  return values.map((value, row) => {
    total += value ?? 0;
    for (; columns.time[from] <= columns.time[row] - span; from += 1) total -= values[from] ?? 0;
    return value === null ? null : total;
  });
}

function lately(values, row) {
  return values[row] === undefined ? [] : values.slice(Math.max(0, row - OVER + 1), row + 1).filter(isNumber);
}

function smooth(values = []) {
  return values.map((_, row) => {
    const known = lately(values, row).sort((one, other) => one - other);
    return known.length ? known[known.length >> 1] : null;
  });
}

function worst(values = []) {
  return values.map((_, row) => {
    const known = lately(values, row);
    return known.length ? Math.max(...known) : null;
  });
}

function stacked(values) {
  let below = new Array(rows.time.length).fill(0);
  return values.map((own) => (below = own.map((value, row) => (value === null ? null : value + (below[row] ?? 0)))));
}

function upTo(least) {
  return (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.15)];
}

// ---- drawing

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function create(name, plan, data) {
  const box = at(`plot-${name}`);
  box.replaceChildren();
  const own = { name, plan, box, chosen: null, values: [] };
  own.plot = new uPlot(options(own, box), data, box);
  key(own);
  keyboard(own);
  drawn.set(name, own);
  return own;
}

function options(own, box) {
  const { plan } = own;
  const [grid, quiet] = [colour("line"), colour("quiet")];
  const font = "12px system-ui, sans-serif";
  return {
    width: box.clientWidth, height: box.clientHeight, padding: [8, 20, 0, 0], // right: half of the last time, "00:00"
    legend: { show: false },
    cursor: { y: false, points: { show: !plan.areas, size: 7 }, drag: { x: false, y: false } },
    hooks: { setCursor: [(plot) => tell(own, plot.cursor.idx ?? null)] },
    scales: {
      x: { time: true, range: () => [(rows.time.at(-1) ?? 0) - about.span, rows.time.at(-1) ?? 1] },
      y: plan.logarithmic ? { distr: 3, log: 10, range: (_, low, high) => decades(low, high) } : { range: plan.range },
    },
    axes: [
      { stroke: quiet, font, grid: { show: false }, ticks: { stroke: grid, size: 4 }, space: 64, size: 28,
        values: (_, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) },
      { stroke: quiet, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: 62, gap: 8, space: 34,
        ...(plan.steps ? { incrs: plan.steps } : {}),
        ...(plan.logarithmic ? { splits: (_, __, low, high) => powers(low, high) } : {}),
        values: (_, values) => values.map((value) => (value === null ? "" : plan.axis(value))) },
    ],
    series: [{}, ...plan.series.map(([, hue]) => line(plan, hue))],
    bands: plan.areas ? plan.series.slice(1).map((_, each) => ({ series: [each + 2, each + 1] })) : [],
  };
}

function line(plan, hue) {
  const stroke = colour(hue);
  if (plan.areas) return { stroke, fill: stroke, width: 0, points: { show: false } };
  if (hue === "limit") return { stroke: colour("quiet"), width: 1.5, dash: [5, 5], points: { show: false } };
  return { stroke, width: 2, points: { show: false } };
}

function powers(low, high) {
  const from = Math.round(Math.log10(low));
  return Array.from({ length: Math.round(Math.log10(high)) - from + 1 }, (_, each) => 10 ** (from + each));
}

function decades(low, high) {
  if (!isNumber(low) || !isNumber(high) || low <= 0) return [1e-4, 1];
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.01))];
}

// ---- what is told in words: under the plot, and to those who move along it with arrow keys

function key(own) {
  own.told = own.plan.series.map(() => make("span", "–", "value"));
  own.when = make("li", "", "when");
  at(`key-${own.name}`).replaceChildren(...own.plan.series.map(([name, hue], each) =>
    within(make("li"), make("span", undefined, `swatch ${hue}`), within(make("span"), term(name)), own.told[each])), own.when);
}

function tell(own, chosen) {
  const last = rows.time.length - 1;
  const row = chosen === null || chosen === undefined ? last : Math.min(chosen, last);
  own.chosen = chosen;
  const texts = own.plan.series.map((_, each) => own.plan.told(own.values[each]?.[row]));
  texts.forEach((text, each) => { if (own.told[each].textContent !== text) own.told[each].textContent = text; });
  const when = row === last ? "now" : clock(rows.time[row]);
  own.when.textContent = row === last ? "" : `at ${when}`;
  own.box.setAttribute("aria-valuemax", String(last));
  own.box.setAttribute("aria-valuenow", String(row));
  own.box.setAttribute("aria-valuetext",
    `${when}: ${own.plan.series.map(([name], each) => `${name} ${texts[each]}`).join(", ")}`);
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -30, PageUp: 30, Home: -Infinity, End: Infinity };

function keyboard(own) {
  const { box } = own;
  box.tabIndex = 0;
  box.setAttribute("role", "slider");
  box.setAttribute("aria-labelledby", `t-${own.name}`);
  box.setAttribute("aria-valuemin", "0");
  box.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (step === undefined && event.key !== "Escape") return;
    event.preventDefault();
    const last = rows.time.length - 1;
    const row = step === undefined ? last : Math.max(0, Math.min(last, (own.chosen ?? last) + step));
    const away = row === last;
    own.plot.setCursor({ left: away ? -10 : own.plot.valToPos(rows.time[row], "x"), top: away ? -10 : 0 });
    tell(own, away ? null : row);
  };
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const own = drawn.get(target.id.replace("plot-", ""));
    if (own && target.clientWidth) own.plot.setSize({ width: target.clientWidth, height: target.clientHeight });
  }
});
for (const name of Object.keys(PLOTS)) resized.observe(at(`plot-${name}`));
