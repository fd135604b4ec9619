"use strict";
// Draws what /events tells. Each message holds, for every run with news, its newest value and the moments that are new.

/** Runs of the command: { live, points }. */
let runs = [];
let over = false;
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const told = (number) => Math.round(number).toLocaleString("en");
const millis = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
const PHASES = {
  gathering: "Waiting for agents", planning: "Agents work out the plan", doors: "Doors are open", arming: "Agents compare clocks",
  committed: "T0 is fixed", burst: "Burst", draining: "Draining", done: "Done", aborted: "Aborted",
};

/** An element with this text. Nothing that a scenario or a host is called is ever read as HTML. */
function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function headline(live) {
  const at = live.second === null ? "" : live.second < 0 ? `, T0 in ${-live.second} s` : `, T0 + ${live.second} s`;
  $("phase").textContent = PHASES[live.phase] + (live.phase === "done" || live.phase === "aborted" ? "" : at);
  $("what").textContent = `${live.scenario}, zone ${live.zone ?? "live"}, run ${live.run}` + (runs.length > 1 ? ` (${runs.length} of this command)` : "");
  // A screen reader hears of phases, not of every second.
  if ($("said").textContent !== PHASES[live.phase]) $("said").textContent = PHASES[live.phase];
  const figures = [
    ["connected", `${told(live.connected)} of ${told(live.viewers)}`, live.connected], ["planned", told(live.planned), live.planned],
    ["sent", told(live.sent), live.sent], ["accepted", told(live.accepted), live.accepted],
    ["failed", told(live.failed), live.failed], ["response p99", live.response.count ? millis(live.response.p99_ms) : "–", live.response.p99_ms],
    ["lateness p99", live.lateness.count ? millis(live.lateness.p99_ms) : "–", live.lateness.p99_ms],
  ];
  $("figures").replaceChildren(...figures.map(([name, text, value]) => {
    const both = element("div");
    const shown = element("dd", text, name === "failed" && live.failed > 0 ? "bad" : "");
    shown.dataset.figure = name;
    shown.dataset.value = value;
    both.append(element("dt", name), shown);
    return both;
  }));
}

function table(id, heads, rows) {
  const head = element("thead"), body = element("tbody"), names = element("tr");
  names.append(...heads.map((text) => Object.assign(element("th", text), { scope: "col" })));
  head.append(names);
  for (const [first, ...rest] of rows) {
    const row = element("tr");
    row.append(Object.assign(element("th", first), { scope: "row" }), ...rest.map((text) => element("td", text)));
    body.append(row);
  }
  $(id).replaceChildren(head, body);
}

function tables(live) {
  const all = live.proxies.reduce((sum, proxy) => sum + proxy.open, 0);
  table("proxies", ["proxy", "open", "share", "limit", "accepted", "failed", "refused", "response p50", "p99"], live.proxies.map((proxy) => [
    proxy.address, told(proxy.open), all ? `${(100 * proxy.open / all).toFixed(1)} %` : "–", proxy.limit === null ? "–" : told(proxy.limit),
    told(proxy.accepted), told(proxy.failed), told(proxy.refused),
    ...(proxy.response.count ? [millis(proxy.response.p50_ms), millis(proxy.response.p99_ms)] : ["–", "–"]),
  ]));
  const outcomes = Object.entries(live.outcomes).filter(([name, count]) => count > 0 || name === "accepted");
  table("outcomes", ["outcome", "attempts"], outcomes.map(([name, count]) => [name, told(count)]));
  table("agents", ["agent", "state", "connected", "viewers", "offset", "bound", "lateness p99", "longest stall", "warnings"], live.agents.map((agent) => [
    `${agent.id} on ${agent.host} (${agent.pid})`, agent.state, told(agent.connected), told(agent.viewers), millis(agent.offset_ms),
    millis(agent.bound_ms), millis(agent.lateness_p99_ms), millis(agent.stall_max_ms), agent.warnings.join("; ") || "–",
  ]));
}

function key(live) {
  $("key").replaceChildren(...live.proxies.map((proxy, place) => {
    const { colour, dash } = proxyLook(place, dark.matches);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of Object.entries({ width: 28, height: 10, "aria-hidden": "true" })) svg.setAttribute(name, value);
    const dashes = Array.isArray(dash) ? dash.join(" ") : "none";
    for (const [name, value] of Object.entries({ x1: 0, x2: 28, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dashes })) line.setAttribute(name, value);
    svg.append(line);
    const item = element("li");
    item.append(svg, proxy.address);
    return item;
  }));
}

const charts = ["sessions", "votes", "response", "heat"].map((id) => [id, echarts.init($(id), null, { renderer: "svg" })]);

/** Colours of the page as it is now: of words, of lines, of what is wrong. */
function inks() {
  const style = getComputedStyle(document.documentElement);
  return ["--muted", "--line", "--bad"].map((name) => style.getPropertyValue(name).trim());
}
const chart = (id) => charts.find(([name]) => name === id)[1];

/** Lines over time; their scale reaches `least` at least, where that is said. */
function draw(id, unit, series, least = null) {
  const [ink, line] = inks();
  chart(id).setOption({
    animation: false, grid: { left: 8, right: 14, top: 30, bottom: 24, containLabel: true },
    xAxis: { type: "value", min: "dataMin", max: "dataMax", name: "", axisLabel: { color: ink, formatter: "{value} s", hideOverlap: true }, splitLine: { show: false }, axisLine: { lineStyle: { color: line } } },
    yAxis: { type: "value", name: unit, max: ({ max }) => (least > max ? least : null), axisLine: { onZero: false, lineStyle: { color: line } }, nameTextStyle: { color: ink, align: "left" }, axisLabel: { color: ink }, splitLine: { lineStyle: { color: line } } },
    series: series.map((each) => ({ type: "line", showSymbol: each.data.length === 1, silent: true, ...each })),
  }, { notMerge: true });
}

/** How many connections a proxy takes, once one has come near enough to it to be seen on one scale; else nothing. */
function limitInSight({ live, points }) {
  const limit = live.proxies[0]?.limit ?? null;
  return limit !== null && points.some(({ open }) => open.some((connections) => connections >= limit / 2)) ? limit : null;
}

/** A line across at a limit. */
function limitLine(limit) {
  const [, , bad] = inks();
  const label = { formatter: `limit ${told(limit)}`, position: "insideStartBottom", color: bad };
  return { markLine: { silent: true, symbol: "none", label, lineStyle: { color: bad, type: "solid" }, data: [{ yAxis: limit }] } };
}

/** Every accepted vote by the second that it was planned for; its colour tells how many others are in its cell. */
function heatMap({ heat }) {
  const [ink, line] = inks();
  const starts = heat.cells.map(([t]) => t);
  const columns = starts.length ? Array.from({ length: (starts.at(-1) - starts[0]) / heat.width_s + 1 }, (_, place) => starts[0] + place * heat.width_s) : [];
  const bands = heat.bands_ms.slice(0, -1);
  const most = heat.cells.reduce((all, [, , votes]) => Math.max(all, votes), 1);
  const axis = { type: "category", axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, splitLine: { show: false } };
  chart("heat").setOption({
    animation: false, grid: { left: 8, right: 14, top: 36, bottom: 24, containLabel: true },
    xAxis: { ...axis, data: columns, axisLabel: { color: ink, formatter: "{value} s", hideOverlap: true } },
    yAxis: { ...axis, name: "from … ms", nameTextStyle: { color: ink, align: "left" }, data: bands, axisLabel: { color: ink, hideOverlap: true, formatter: (ms) => String(Number(Number(ms).toPrecision(2))) } },
    visualMap: heatScale(most, ink, dark.matches),
    series: [{
      type: "heatmap", silent: true, progressive: 0, emphasis: { disabled: true },
      data: heat.cells.map(([t, band, votes]) => [(t - starts[0]) / heat.width_s, band, Math.log10(votes)]),
    }],
  }, { notMerge: true });
}

function pictures(run) {
  const { live, points } = run;
  const stacked = document.querySelector("input[name=shape]:checked").value === "stacked";
  // Before T0 is fixed nobody knows how far it is: those moments are counted back from the first that does.
  const known = points.findIndex((point) => point.second !== null);
  const origin = known < 0 ? points.length - 1 : known;
  const time = (point) => point.second ?? (known < 0 ? 0 : points[known].second) - (points[origin].number - point.number);
  // The limit is each proxy's: it says nothing about their sum.
  const limit = stacked ? null : limitInSight(run);
  draw("sessions", "connections", live.proxies.map((proxy, place) => {
    const { colour, dash } = proxyLook(place, dark.matches);
    return {
      name: proxy.address, data: points.map((point) => [time(point), point.open[place] ?? 0]), itemStyle: { color: colour },
      lineStyle: { color: colour, type: dash, width: stacked ? 1 : 2 }, ...(stacked ? { stack: "all", areaStyle: { color: colour, opacity: 0.75 } } : {}),
      ...(place === 0 && limit !== null ? limitLine(limit) : {}),
    };
  }), limit);
  const look = (place) => ({ color: proxyLook(place, dark.matches).colour, width: 2 });
  const since = points.map((point) => [point, time(point)]).filter(([, second]) => second >= 0);
  const votes = (index, place, type) => ({ data: since.map(([point, second]) => [second, point.votes[index]]), lineStyle: { ...look(place), type }, itemStyle: { color: look(place).color } });
  draw("votes", "votes: planned – –, sent ···, accepted —", [votes(0, 7, [6, 3]), votes(1, 0, [2, 3]), votes(2, 2, "solid")]);
  const answered = since.filter(([point]) => point.response_ms);
  const response = (index, place, type) => ({ data: answered.map(([point, second]) => [second, point.response_ms[index]]), lineStyle: { ...look(place), type } });
  draw("response", "ms: p50 ···, p99 —", [response(0, 0, [2, 3]), response(1, 4, "solid")]);
  heatMap(live);
}

function show() {
  const run = runs.at(-1);
  if (!run) return;
  headline(run.live);
  tables(run.live);
  key(run.live);
  pictures(run);
}

function take(news) {
  for (const { run, live, points } of news) {
    runs[run] ??= { live, points: [] };
    runs[run].live = live;
    runs[run].points.push(...points);
  }
  show();
}

function listen() {
  const events = new EventSource("events");
  events.addEventListener("open", () => { runs = []; $("link").textContent = ""; });
  events.addEventListener("news", (event) => take(JSON.parse(event.data)));
  events.addEventListener("over", () => { over = true; events.close(); $("link").textContent = "The command has ended. This is its last state."; });
  events.addEventListener("error", () => {
    if (over) return;
    $("link").textContent = events.readyState === EventSource.CLOSED ? "Not allowed: open this page as /#TOKEN, with the token that the command was given." : "Connection lost. Trying again …";
  });
}

async function start() {
  const token = location.hash.slice(1);
  if (token) {
    // Out of the address bar before anything else can read it there.
    history.replaceState(null, "", location.pathname);
    await fetch("session", { method: "POST", headers: { Authorization: `Bearer ${decodeURIComponent(token)}` } });
  }
  listen();
}

for (const input of document.querySelectorAll("input[name=shape]")) input.addEventListener("change", show);
dark.addEventListener("change", show);
addEventListener("resize", () => { for (const [, chart] of charts) chart.resize(); });
start();
