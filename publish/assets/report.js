"use strict";
// The page: puts the pictures into their places, in light and dark, lets the reader pick proxies, and makes tables when asked for.

const picked = new Set();
const charts = new Map();
const dark = matchMedia("(prefers-color-scheme: dark)");
const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("aria-live", "polite");
document.body.append(said);

function element(tag, { text, ...attributes } = {}, children = []) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Colours of the page as its style sheet has them. */
function theme(onPaper) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["ink", "muted", "line", "surface", "good", "bad", "band"];
  return {
    dark: dark.matches && !onPaper, font: getComputedStyle(document.body).fontFamily,
    ...Object.fromEntries(names.map((name) => [name, colour(name)])),
  };
}

/** A short piece of a proxy's line. */
function swatch(place, isDark) {
  const { colour, dash } = proxyLook(place, isDark);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const stroke = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const attributes = { x1: 0, x2: 22, y1: 5, y2: 5, stroke: colour, "stroke-width": 4, "stroke-dasharray": dash === "solid" ? "none" : dash.join(" ") };
  for (const [name, value] of Object.entries(attributes)) stroke.setAttribute(name, value);
  for (const [name, value] of Object.entries({ width: 22, height: 10, "aria-hidden": "true" })) line.setAttribute(name, value);
  line.append(stroke);
  return line;
}

/** What a place in a picture holds: a title and rows of name and value, the greatest first unless the order means something. */
function reading(drawn, parameters) {
  const list = [].concat(parameters);
  const place = list[0]?.dataIndex ?? 0;
  const at = list[0]?.axisValue;
  const title = drawn.title ? drawn.title(place, Number(at)) : `t = ${at} s`;
  if (drawn.said) return { title, rows: drawn.said(place, Number(at)).map(([name, value]) => ({ name, value })), more: 0 };
  const value = (one) => (Array.isArray(one.value) ? one.value[one.value.length - 1] : one.value);
  const format = drawn.format ?? ((figure) => told(figure, drawn.unit));
  let held = list.filter((one) => value(one) !== null && value(one) !== undefined);
  if (!drawn.inOrder) held = held.filter((one) => value(one) !== 0).sort((a, b) => value(b) - value(a));
  const rows = held.map((one) => ({ name: one.seriesName, value: format(value(one)), colour: one.color }));
  return { title, rows: rows.slice(0, MOST_ROWS), more: rows.length - MOST_ROWS };
}

function tip({ title, rows, more }) {
  const lines = rows.map(({ name, value, colour }) => {
    const dot = element("i");
    if (colour) dot.style.background = colour;
    return element("tr", {}, [element("td", {}, [dot]), element("td", { text: name }), element("td", { text: value, class: "n" })]);
  });
  const rest = more > 0 ? [element("p", { text: `and ${more} more` })] : [];
  const none = rows.length === 0 ? [element("p", { text: "nothing" })] : [];
  return element("div", { class: "tip" }, [element("b", { text: title }), element("table", {}, lines), ...rest, ...none]);
}

function draw(place, onPaper = false) {
  const run = RUNS[Number(place.dataset.run ?? 0)];
  const drawn = PICTURES[place.dataset.picture](run, theme(onPaper), picked);
  if (drawn.empty) {
    place.replaceWith(element("p", { class: "none", text: drawn.empty }));
    return;
  }
  if (drawn.rows) place.style.height = `${Math.min(520, 70 + drawn.rows * 40)}px`;
  drawn.option.tooltip.formatter = (parameters) => {
    const read = reading(drawn, parameters);
    if (document.activeElement === place) said.textContent = [read.title, ...read.rows.slice(0, 5).map(({ name, value }) => `${name} ${value}`)].join(", ");
    return tip(read);
  };
  const chart = charts.get(place)?.chart ?? echarts.init(place, null, { renderer: "svg" });
  // Pictures of one kind show the same second together.
  chart.group = place.dataset.picture;
  chart.setOption(drawn.option, { notMerge: true });
  charts.set(place, { chart, drawn, step: charts.get(place)?.step ?? -1 });
  if (drawn.note && !place.nextElementSibling) place.after(element("p", { class: "note", text: drawn.note }));
}

const drawAll = (onPaper) => [...charts.keys()].forEach((place) => draw(place, onPaper));

/** Arrow keys step through a picture, Escape leaves it. */
function walk(event) {
  const held = charts.get(event.currentTarget);
  const { axis, values } = held.drawn.walk;
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  if (event.key === "Escape") held.chart.dispatchAction({ type: "hideTip" });
  if (!(event.key in steps)) return;
  event.preventDefault();
  const from = held.step < 0 && axis === "x" ? Math.max(values.indexOf(0) - 1, -1) : held.step;
  held.step = Math.min(Math.max(from + steps[event.key], 0), values.length - 1);
  const value = held.drawn.title && axis === "x" && held.drawn.option.xAxis.type === "log" ? values[held.step] : held.step;
  const along = held.chart.convertToPixel({ [`${axis}AxisIndex`]: 0 }, value);
  const { clientWidth, clientHeight } = event.currentTarget;
  const at = axis === "x" ? { x: along, y: clientHeight / 2 } : { x: clientWidth / 2, y: along };
  held.chart.dispatchAction({ type: "showTip", ...at });
}

/** The key of all pictures: a button for each proxy. */
function key() {
  const place = document.getElementById("proxies-key");
  const proxies = Math.max(0, ...RUNS.map((run) => run.proxies.length));
  const focused = document.activeElement?.dataset?.proxy;
  const buttons = Array.from({ length: proxies }, (_, proxy) => {
    const addresses = RUNS.map((run) => run.proxies[proxy]).filter(Boolean);
    const button = element("button", {
      type: "button", "data-proxy": proxy, "aria-pressed": picked.has(proxy), title: [...new Set(addresses)].join(", "), "aria-label": `proxy ${proxy + 1}, ${addresses[0]}`,
    }, [swatch(proxy, dark.matches), element("span", { text: String(proxy + 1) })]);
    button.addEventListener("click", () => pick(proxy));
    return button;
  });
  const all = element("button", { type: "button", class: "all", text: "all", ...(picked.size === 0 ? { disabled: "" } : {}) });
  all.addEventListener("click", () => pick(null));
  place.replaceChildren(...(proxies ? [element("span", { text: "Proxies" }), ...buttons, all] : []));
  place.querySelector(`[data-proxy="${focused}"]`)?.focus();
}

function pick(proxy) {
  if (proxy === null) picked.clear();
  else if (!picked.delete(proxy)) picked.add(proxy);
  key();
  drawAll();
}

/** Columns of a picture's table and their values by second. */
function columns(name, run) {
  if (name === "votes") return Object.entries(totals(run));
  if (name in ANSWERED_COLUMNS) return ANSWERED_COLUMNS[name](run);
  if (name === "lateness") return [["99 % late by at most, ms", inTime(run, run.lateness)]];
  const figures = name === "share" ? run.opened : run[name];
  return figures.map((values, place) => [proxyName(run, place), inTime(run, values)]);
}

function table(details) {
  if (!details.open || details.querySelector("table")) return;
  for (const run of RUNS.filter((run) => run.t.length > 0)) {
    if (RUNS.length > 1) details.append(element("h3", { text: run.zone }));
    details.append(secondBySecond(details.dataset.table, run));
  }
}

function secondBySecond(name, run) {
  const held = columns(name, run);
  const head = element("tr", {}, ["second", ...held.map(([name]) => name)].map((text) => element("th", { scope: "col", text })));
  const seconds = TIMES.map((t, place) => ({ t, place })).filter(({ t }) => t >= run.t[0] && t <= run.t[run.t.length - 1]);
  const rows = seconds.map(({ t, place }) => {
    const cells = held.map(([, values]) => element("td", { text: told(values[place]) }));
    return element("tr", {}, [element("th", { scope: "row", text: t === 0 ? "T0" : String(t) }), ...cells]);
  });
  const made = element("table", {}, [element("thead", {}, [head]), element("tbody", {}, rows)]);
  return element("div", { class: "scroll", tabindex: "0" }, [made]);
}

/** One picture after the other: the browser shows each before the next, so that a large report is read from the top at once. */
async function drawFirst() {
  for (const place of document.querySelectorAll(".chart")) {
    draw(place);
    place.addEventListener("keydown", walk);
    await new Promise((next) => setTimeout(next));
  }
  Object.keys(PICTURES).forEach((name) => echarts.connect(name));
  performance.mark("drawn");
  document.documentElement.dataset.drawn = charts.size;
}

key();
drawFirst();
for (const details of document.querySelectorAll("details[data-table]")) details.addEventListener("toggle", () => table(details));
dark.addEventListener("change", () => {
  key();
  drawAll();
});
new ResizeObserver(() => charts.forEach(({ chart }) => chart.resize())).observe(document.body);
// Paper is white whatever the screen is.
addEventListener("beforeprint", () => drawAll(true));
addEventListener("afterprint", () => drawAll());
