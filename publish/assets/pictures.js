"use strict";
// What each picture shows: from the page's data to an option of ECharts. Nothing here touches the page.
// A picture is { option, walk }: `walk` says what arrow keys step through: an axis and its values.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs;

const figure = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const told = (value, unit = "") => (value === null || value === undefined ? "–" : figure.format(value) + unit);
const milliseconds = (ms) => (ms >= 1000 ? told(ms / 1000, " s") : ms < 1 ? `${ms.toFixed(3)} ms` : told(ms, " ms"));
const sum = (list) => list.reduce((all, one) => all + one, 0);
const most = (list) => list.reduce((greatest, one) => Math.max(greatest, one ?? 0), 0);

/** The next figure above that reads well at the end of an axis, and the steps to it. */
function scale(value) {
  if (!(value > 0)) return { min: 0, max: 1, interval: 1 };
  const power = 10 ** Math.floor(Math.log10(value));
  const ends = [[1, 4], [1.2, 4], [1.5, 3], [2, 4], [2.5, 5], [3, 3], [4, 4], [5, 5], [6, 3], [8, 4], [10, 4]];
  const [end, steps] = ends.find(([end]) => end * power >= value * 1.0001);
  return { min: 0, max: end * power, interval: (end * power) / steps };
}

const PERCENT = { min: 0, max: 100, interval: 25 };

// Every run is drawn from the first second of any to the last of any, so that zones lie on the same scale.
const FROM = Math.min(...RUNS.flatMap((run) => run.t.slice(0, 1)));
const TO = Math.max(...RUNS.flatMap((run) => run.t.slice(-1)));
const TIMES = Number.isFinite(FROM) ? Array.from({ length: TO - FROM + 1 }, (_, place) => FROM + place) : [];

const inTime = (run, values) => TIMES.map((t) => values[t - run.t[0]] ?? null);
const plannedInTime = (run) => TIMES.map((t) => (t < 0 ? 0 : run.planned[t] ?? 0));
const overProxies = (run, name) => run.t.map((_, second) => sum(run[name].map((proxy) => proxy[second])));

/** What was planned, sent, accepted and failed in all, by second. */
const totals = (run) => ({
  planned: plannedInTime(run),
  sent: inTime(run, overProxies(run, "sent")),
  accepted: inTime(run, overProxies(run, "accepted")),
  failed: inTime(run, overProxies(run, "failed")),
});

const MOST_BARS = 2000;
/** The most rows of a reading of one place. */
const MOST_ROWS = 12;

/** Each proxy's share of a second's new connections; nothing where chance alone would look uneven. */
function shares(run) {
  const all = overProxies(run, "opened");
  const tells = all.map((opened) => opened > 0 && opened >= DATA.events_per_proxy * run.proxies.length);
  return run.opened.map((proxy) => inTime(run, proxy.map((opened, second) => (tells[second] ? (100 * opened) / all[second] : null))));
}

const proxyName = (run, place) => `${place + 1}: ${run.proxies[place]}`;

/** Look of a proxy's line or bar; the others fade when some were picked. */
function look(place, theme, picked) {
  const { colour, dash } = proxyLook(place, theme.dark);
  return { colour, dash, opacity: picked.size === 0 || picked.has(place) ? 1 : 0.08 };
}

/** Where a line has a dash, a bar of the same proxy has stripes. */
function stripes(dash, theme) {
  if (dash === "solid") return undefined;
  return { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.5, sum(dash) * 0.7], rotation: -Math.PI / 4, color: theme.surface };
}

function barOf(place, theme, picked) {
  const { colour, dash, opacity } = look(place, theme, picked);
  return { color: colour, opacity, decal: stripes(dash, theme) };
}

function axes(theme, unit, range, more = {}) {
  const muted = { color: theme.muted, fontSize: 12 };
  return {
    animation: false,
    textStyle: { fontFamily: theme.font },
    grid: { left: 62, right: 18, top: 34, bottom: 34 },
    xAxis: {
      type: "category", data: TIMES.map(String), boundaryGap: false, axisTick: { show: false },
      axisLine: { lineStyle: { color: theme.line } },
      axisLabel: { ...muted, interval: (_, t) => t % everySeconds(TIMES.length) === 0, formatter: (t) => (t === "0" ? "T0" : `${t} s`) },
    },
    yAxis: {
      type: "value", ...range, name: unit, nameTextStyle: { ...muted, align: "left", padding: [0, 0, 0, -52] },
      splitLine: { lineStyle: { color: theme.line } }, axisLabel: { ...muted, formatter: (value) => told(value) },
    },
    tooltip: { ...tooltip(theme), trigger: "axis", axisPointer: { type: "line", lineStyle: { color: theme.muted } } },
    ...more,
  };
}

const everySeconds = (length) => [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((step) => length / step <= 9) ?? 1800;

const tooltip = (theme) => ({
  confine: true, backgroundColor: theme.surface, borderColor: theme.line, textStyle: { color: theme.ink, fontSize: 13 }, transitionDuration: 0,
});

const legend = (theme, data) => ({
  data, right: 12, top: 2, selectedMode: false, itemWidth: 26, itemHeight: 10, textStyle: { color: theme.muted, fontSize: 12 },
});

function lineAt(theme, value, name, colour) {
  return {
    yAxis: value, lineStyle: { color: colour, type: "solid", width: 1.5 },
    label: {
      formatter: name, position: "insideMiddleTop", color: colour, fontWeight: "bold", fontSize: 12, backgroundColor: theme.surface, padding: [1, 4], borderRadius: 3,
    },
  };
}

const atT0 = (theme) => ({
  xAxis: "0", lineStyle: { color: theme.muted, type: [3, 3], width: 1 }, label: { show: false },
});

/** A limit belongs on the scale unless it lies so far above that the lines would lie flat. */
const onScale = (limit, max) => limit !== null && limit <= 4 * max;

/** A line for each proxy, all runs on one scale, with a limit where there is one. */
function proxyLines(name, unit, limitOf, limitName) {
  return (run, theme, picked) => {
    const highest = most(RUNS.flatMap((each) => each[name].map(most)));
    const limits = RUNS.map(limitOf).filter((limit) => onScale(limit, highest));
    const limit = limitOf(run);
    const marks = [atT0(theme)];
    if (onScale(limit, highest)) marks.push(lineAt(theme, limit, `${limitName} ${told(limit)}`, theme.bad));
    const series = run[name].map((values, place) => {
      const { colour, dash, opacity } = look(place, theme, picked);
      return {
        type: "line", name: proxyName(run, place), data: inTime(run, values), showSymbol: false, silent: true,
        lineStyle: { color: colour, type: dash, width: 2, opacity }, itemStyle: { color: colour }, z: opacity === 1 ? 3 : 2,
        markLine: place === 0 ? { silent: true, symbol: "none", data: marks } : undefined,
      };
    });
    const note = limit !== null && !onScale(limit, highest) ? `${limitName} ${told(limit)}, far above this scale` : "";
    return { option: axes(theme, unit, scale(most([highest, ...limits])), { series }), walk: { axis: "x", values: TIMES }, note };
  };
}

function share(run, theme, picked) {
  const all = shares(run);
  if (all.every((proxy) => proxy.every((value) => value === null))) {
    return { empty: `No second had ${DATA.events_per_proxy} new connections for each proxy.` };
  }
  // Connections are opened while the doors are open: the rest of the time would be empty.
  const told = RUNS.flatMap((each) => shares(each).flatMap((proxy) => proxy.flatMap((value, place) => (value === null ? [] : [place]))));
  const [first, last] = [Math.min(...told), Math.max(...told) + 1];
  // Thousands of bars take a browser a second; the same as areas with steps takes it none.
  const areas = run.proxies.length * (last - first) > MOST_BARS;
  const series = all.map((values, place) => {
    const itemStyle = barOf(place, theme, picked);
    const common = { name: proxyName(run, place), stack: "all", silent: true, itemStyle };
    if (!areas) return { ...common, type: "bar", data: values.slice(first, last), barCategoryGap: "6%" };
    const data = values.slice(first, last).map((value) => value ?? 0);
    return { ...common, type: "line", step: "middle", symbol: "none", data, lineStyle: { width: 0 }, areaStyle: { opacity: itemStyle.opacity } };
  });
  const option = axes(theme, "% of new connections", PERCENT, { series });
  const times = TIMES.slice(first, last);
  Object.assign(option.xAxis, { boundaryGap: true, data: times.map(String) });
  option.xAxis.axisLabel.interval = (_, t) => t % everySeconds(times.length) === 0;
  return { option, walk: { axis: "x", values: times }, unit: " %" };
}

function votes(run, theme) {
  const max = most(RUNS.flatMap((each) => Object.values(totals(each)).map(most)));
  const { planned, sent, accepted, failed } = totals(run);
  const line = (name, data, colour, type, width) => ({
    type: "line", name, data, symbol: "none", silent: true, lineStyle: { color: colour, type, width }, itemStyle: { color: colour },
  });
  const series = [
    {
      ...line("planned", planned, theme.muted, "solid", 0), areaStyle: { color: theme.muted, opacity: 0.28 },
      markLine: { silent: true, symbol: "none", data: [atT0(theme)] },
    },
    line("sent", sent, theme.ink, [2, 2], 1.5),
    line("accepted", accepted, theme.good, "solid", 2.5),
    line("failed", failed, theme.bad, [7, 3], 2),
  ];
  return { option: axes(theme, "votes/s", scale(max), { series, legend: legend(theme, [{ name: "planned", icon: "rect" }, "sent", "accepted", "failed"]) }), walk: { axis: "x", values: TIMES }, inOrder: true };
}

function response(run, theme, picked) {
  const values = RUNS.flatMap((each) => each.response.flat()).filter((ms) => ms > 0);
  const range = { min: 10 ** Math.floor(Math.log10(Math.min(...values))), max: 10 ** Math.ceil(Math.log10(Math.max(...values))) };
  const symbols = [["half within", "circle"], ["90 % within", "rect"], ["99 % within", "triangle"], ["slowest", "diamond"]];
  const series = symbols.map(([name, symbol], quantile) => ({
    type: "line", name, symbol, symbolSize: run.proxies.length > 20 ? 7 : 10, lineStyle: { width: 0 }, silent: true,
    data: run.response.map((quantiles, place) => {
      const { colour, opacity } = look(place, theme, picked);
      return { value: quantiles[quantile] > 0 ? quantiles[quantile] : null, itemStyle: { color: colour, opacity, borderWidth: 0 } };
    }),
  }));
  const option = axes(theme, "response", {}, { series });
  Object.assign(option.xAxis, { data: run.proxies.map((_, place) => String(place + 1)), boundaryGap: true, name: "" });
  option.xAxis.axisLabel = { color: theme.muted, fontSize: 12, hideOverlap: true };
  Object.assign(option.yAxis, { type: "log", ...range });
  option.yAxis.axisLabel = { color: theme.muted, fontSize: 12, formatter: milliseconds };
  const title = (place) => `proxy ${proxyName(run, place)}`;
  return { option, walk: { axis: "x", values: run.proxies.map((_, place) => place) }, title, format: milliseconds, inOrder: true };
}

/** Half of the votes, nine of ten, 99 of 100 … at equal distances, as HdrHistogram's plots have it. */
function curve(_, theme) {
  const beyond = (quantile, last) => (quantile < 1 ? 1 / (1 - quantile) : last);
  const points = (steps) => {
    let last = 1;
    return steps.map(([quantile, ms]) => [(last = beyond(quantile, last * 1.5)), Math.max(ms, 0.01)]);
  };
  const dashes = ["solid", [7, 3], [2, 3], [9, 3, 2, 3], [14, 4]];
  const series = RUNS.flatMap((run, place) => {
    const colour = { pass: theme.good, fail: theme.bad }[run.outcome] ?? theme.ink;
    const plain = { type: "line", symbol: "none", silent: true, itemStyle: { color: colour } };
    return [
      { ...plain, name: run.zone, data: points(run.curve), lineStyle: { color: colour, type: dashes[place % dashes.length], width: 2.5 } },
      { ...plain, name: `${run.zone}: generator late`, data: points(run.curve_lateness), lineStyle: { color: colour, type: [1, 3], width: 1.2 } },
    ];
  });
  const option = axes(theme, "response", {}, { series, legend: legend(theme, RUNS.map((run) => run.zone)) });
  const percent = (beyond) => `${+(100 - 100 / beyond).toFixed(5)} %`;
  option.xAxis = {
    type: "log", min: 1, axisLine: { lineStyle: { color: theme.line } }, splitLine: { lineStyle: { color: theme.line } },
    axisLabel: { color: theme.muted, fontSize: 12, formatter: (beyond) => (beyond === 1 ? "fastest" : percent(beyond)) },
  };
  // Its steps say what they are, and on a phone the names of runs need the room of its own.
  Object.assign(option.yAxis, { type: "log", min: undefined, name: "" });
  option.yAxis.axisLabel = { color: theme.muted, fontSize: 12, formatter: milliseconds };
  const longest = series.reduce((longest, one) => (one.data.length > longest.length ? one.data : longest), []);
  return { option, walk: { axis: "x", values: longest.map(([x]) => x) }, title: (_, x) => `${percent(x)} of votes within`, format: milliseconds, inOrder: true };
}

/** Bars that lie, one for each of these names, stacked by proxy. */
function lying(theme, picked, names, run, counts, range, unit) {
  const series = counts.map((data, place) => {
    const nobody = place >= run.proxies.length;
    const name = nobody ? "no proxy" : proxyName(run, place);
    const itemStyle = nobody ? { color: theme.muted } : barOf(place, theme, picked);
    return { type: "bar", name, stack: "all", data, barMaxWidth: 34, silent: true, itemStyle };
  });
  const option = axes(theme, "", {}, { series });
  option.grid = { left: 138, right: 24, top: 10, bottom: 34 };
  option.yAxis = {
    type: "category", data: names, inverse: true, axisTick: { show: false }, axisLine: { lineStyle: { color: theme.line } },
    axisLabel: { color: theme.ink, fontSize: 12, width: 124, overflow: "truncate" },
  };
  option.xAxis = {
    type: "value", ...range, splitLine: { lineStyle: { color: theme.line } },
    axisLabel: { color: theme.muted, fontSize: 12, hideOverlap: true, formatter: (value) => told(value) + unit },
  };
  option.tooltip.axisPointer = { type: "shadow" };
  return { option, walk: { axis: "y", values: names.map((_, place) => place) }, title: (place) => names[place], unit, rows: names.length };
}

function failures(run, theme, picked) {
  const classes = [...new Set(RUNS.flatMap((each) => each.failures.map(([name]) => name)))];
  const max = most(RUNS.flatMap((each) => each.failures.map(([, counts]) => sum(counts))));
  const of = new Map(run.failures);
  const places = Array.from({ length: run.proxies.length + 1 }, (_, place) => place);
  const counts = places.map((place) => classes.map((name) => of.get(name)?.[place] ?? 0));
  const names = classes.map((name) => `${name}: ${told(sum(of.get(name) ?? []))}`);
  return lying(theme, picked, names, run, counts, scale(max), "");
}

function carriers(run, theme, picked) {
  const names = run.carriers.map(([number, share]) => `carrier ${number}, ${told(100 * share)} %`);
  const part = (counts, place) => (100 * counts[place]) / Math.max(sum(counts), 1);
  const counts = run.proxies.map((_, place) => run.carriers.map(([, , counts]) => part(counts, place)));
  return lying(theme, picked, names, run, counts, PERCENT, " %");
}

const FIGURES = {
  "votes.total": "votes, in all", "votes.peak_1s": "votes, worst second", "votes.peak_5s": "votes, worst 5 s",
  "connections.total": "connections, in all", "connections.peak_1s": "connections, worst second", "connections.peak_5s": "connections, worst 5 s",
};

function forecast(run, theme) {
  const ratios = (each) => (each.forecast ?? []).filter(({ name }) => name in FIGURES);
  const max = most(RUNS.flatMap(ratios).flatMap(({ p99, measured }) => [p99, measured]));
  const figures = ratios(run);
  const bar = (name, data, colour) => ({ type: "bar", name, stack: "band", data, barMaxWidth: 18, silent: true, itemStyle: { color: colour } });
  const marks = (name, values, symbol, symbolSize, colour) => ({
    type: "line", name, symbol, symbolSize, lineStyle: { width: 0 }, silent: true, itemStyle: { color: colour, borderWidth: 0 }, z: 5,
    data: values.map((value, place) => [value, place]),
  });
  const drawn = lying(theme, new Set(), figures.map(({ name }) => FIGURES[name]), run, [], scale(max), " ×");
  drawn.option.grid.left = 182;
  drawn.option.yAxis.axisLabel.width = 168;
  drawn.option.series = [
    bar("below", figures.map(({ p1 }) => p1), "transparent"),
    bar("band", figures.map(({ p1, p99 }) => p99 - p1), theme.band),
    marks("middle trial", figures.map(({ p50 }) => p50), "rect", [3, 18], theme.muted),
    marks("measured", figures.map(({ measured }) => measured), "diamond", 15, theme.ink),
  ];
  drawn.said = (place) => [
    ["measured", told(figures[place].measured, " ×")],
    ["forecast", `${told(figures[place].p50)} × (${told(figures[place].p1)} to ${told(figures[place].p99)})`],
  ];
  return drawn;
}

function lateness(run, theme) {
  const highest = most(RUNS.flatMap((each) => each.lateness));
  const limit = run.lateness_limit;
  const marks = [atT0(theme)];
  if (onScale(limit, highest)) marks.push(lineAt(theme, limit, `limit ${told(limit)} ms`, theme.bad));
  const series = [{
    type: "bar", name: "99 % within", data: inTime(run, run.lateness), barCategoryGap: "20%", silent: true, itemStyle: { color: theme.muted },
    markLine: { silent: true, symbol: "none", data: marks },
  }];
  const limits = RUNS.map((each) => each.lateness_limit).filter((limit) => onScale(limit, highest));
  const option = axes(theme, "ms late", scale(most([highest, ...limits])), { series });
  option.xAxis.boundaryGap = true;
  const note = limit !== null && !onScale(limit, highest) ? `limit ${told(limit)} ms, far above this scale` : "";
  return { option, walk: { axis: "x", values: TIMES }, format: milliseconds, note };
}

const PICTURES = {
  open: proxyLines("open", "connections", (run) => run.connections, "limit"),
  share,
  votes,
  accepted: proxyLines("accepted", "votes/s", (run) => run.votes_per_s, "can carry"),
  in_flight: proxyLines("in_flight", "votes waiting", (run) => run.at_once, "served at once:"),
  response, curve, failures, forecast, carriers, lateness,
};
