"use strict";
// Response times by the second that votes were planned for: three quantiles as lines, and every vote as a heat map.

const QUANTILES = ["half within", "90 % within", "99 % within"];
// The same three lines for all and for each proxy: thin, dashed, thick.
const STROKES = [{ type: "solid", width: 1.2 }, { type: [6, 3], width: 1.6 }, { type: "solid", width: 2.6 }];

/** From the question's opening to the last second of which any run has response times. */
const ANSWERED = (() => {
  const told = RUNS.flatMap((run) => run.t.filter((_, second) => run.response_all[second] !== null));
  return TIMES.filter((t) => told.length > 0 && t >= Math.min(0, ...told) && t <= Math.max(...told));
})();

/** A picture of votes has no use for the time in which doors were open. */
function onlyAnswered(option, times) {
  Object.assign(option.xAxis, { data: times.map(String) });
  option.xAxis.axisLabel.interval = (_, t) => t % everySeconds(ANSWERED.length) === 0;
  return option;
}

/** One quantile, second by second. A second that stands alone has no line to its neighbours, so it gets a dot. */
function quantileOf(run, seconds, quantile) {
  const values = ANSWERED.map((t) => seconds[t - run.t[0]]?.[quantile] ?? null);
  const alone = (place) => (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null;
  return values.map((value, place) => (value !== null && alone(place) ? { value, symbol: "circle", symbolSize: 5 } : value));
}

function decades(values) {
  const told = values.filter((ms) => ms > 0);
  const [least, greatest] = told.reduce(([least, greatest], ms) => [Math.min(least, ms), Math.max(greatest, ms)], [Infinity, 0]);
  return { min: 10 ** Math.floor(Math.log10(least)), max: 10 ** Math.max(Math.ceil(Math.log10(greatest)), Math.floor(Math.log10(least)) + 1) };
}

function overTime(run, theme, picked) {
  // One scale for all runs and all that can be picked, or lines would jump while they are looked through.
  const range = decades(RUNS.flatMap((each) => [each.response_all, ...each.response_by_second].flat(2)));
  const of = (name, seconds, colour) => STROKES.map((stroke, quantile) => ({
    type: "line", name: name(QUANTILES[quantile]), data: quantileOf(run, seconds, quantile), symbol: "none", silent: true,
    lineStyle: { color: colour, ...stroke }, itemStyle: { color: colour },
  }));
  const proxies = run.proxies.map((_, place) => place).filter((place) => picked.has(place));
  const series = picked.size === 0
    ? of((quantile) => quantile, run.response_all, theme.ink)
    : proxies.flatMap((place) => of((quantile) => `${proxyName(run, place)}, ${quantile}`, run.response_by_second[place], look(place, theme, picked).colour));
  const limit = run.response_limit;
  if (limit !== null && limit >= range.min && limit <= range.max && series.length > 0) {
    series[0].markLine = { silent: true, symbol: "none", data: [lineAt(theme, limit, `limit of 99 %: ${milliseconds(limit)}`, theme.bad)] };
  }
  const option = onlyAnswered(axes(theme, "response", {}, { series }), ANSWERED);
  // Lines differ by how thick they are, so the key has them as they are, and no symbols.
  const plain = { itemStyle: { opacity: 0 }, lineStyle: { width: "inherit" } };
  if (picked.size === 0) option.legend = { ...legend(theme, QUANTILES), ...plain };
  Object.assign(option.yAxis, { type: "log", ...range });
  option.yAxis.axisLabel = { color: theme.muted, fontSize: 12, formatter: milliseconds };
  return { option, walk: { axis: "x", values: ANSWERED }, format: milliseconds, inOrder: true };
}

// A heat map of more columns takes a browser longer to draw than a reader to see that it need not be finer.
const COLUMNS = RUNS.length > 1 ? 60 : 120;
const WIDTH = Math.max(1, Math.ceil(ANSWERED.length / COLUMNS));
const HEATED = ANSWERED.filter((_, place) => place % WIDTH === 0);

/** Counts by column and band, of the proxies that were picked or of all. */
function heatOf(run, picked) {
  const counts = new Map();
  run.heat.forEach((rows, place) => {
    if (picked.size > 0 && !picked.has(place)) return;
    for (const [t, lowest, ...votes] of rows) {
      const column = Math.floor((t - ANSWERED[0]) / WIDTH);
      votes.forEach((count, above) => {
        const key = column * DATA.bands.length + lowest + above;
        if (count > 0) counts.set(key, (counts.get(key) ?? 0) + count);
      });
    }
  });
  return [...counts].map(([key, count]) => [Math.floor(key / DATA.bands.length), key % DATA.bands.length, count]);
}

const NOBODY = new Set();
/** Of all runs: the lowest and the highest band with a vote, and the most votes in a cell. */
const HEAT = RUNS.flatMap((run) => heatOf(run, NOBODY)).reduce(
  ({ low, high, most }, [, band, count]) => ({ low: Math.min(low, band), high: Math.max(high, band), most: Math.max(most, count) }),
  { low: Infinity, high: 0, most: 1 },
);
const BANDS = Array.from({ length: Math.max(HEAT.high - HEAT.low + 1, 0) }, (_, place) => HEAT.low + place);
const rounded = (ms) => milliseconds(Number(ms.toPrecision(2)));
const bandName = (band) => `${rounded(DATA.bands[band])} to ${rounded(DATA.bands[band + 1] ?? DATA.bands[band])}`;

function heat(run, theme, picked) {
  const cells = heatOf(run, picked);
  const option = onlyAnswered(axes(theme, "response", {}), HEATED);
  option.xAxis.boundaryGap = true;
  const everyBand = [1, 2, 4, 8].find((step) => BANDS.length / step <= 7) ?? 16;
  option.yAxis = {
    ...option.yAxis, type: "category", data: BANDS.map(bandName), splitLine: { show: false }, axisTick: { show: false }, axisLine: { lineStyle: { color: theme.line } },
    axisLabel: {
      color: theme.muted, fontSize: 12, interval: (place) => BANDS[place] % everyBand === 0, formatter: (_, place) => rounded(DATA.bands[BANDS[place]]),
    },
  };
  option.visualMap = heatScale(HEAT.most, theme.muted, theme.dark);
  option.series = [{
    type: "heatmap", name: "votes", silent: true, progressive: 0, itemStyle: { borderWidth: 0 },
    data: cells.map(([column, band, count]) => [column, band - HEAT.low, Math.log10(count)]),
    emphasis: { disabled: true },
  }];
  option.tooltip.axisPointer = { type: "shadow" };
  const said = (_, t) => {
    const held = cells.filter(([column]) => column === HEATED.indexOf(Number(t))).sort((a, b) => b[2] - a[2]).slice(0, MOST_ROWS);
    return held.sort((a, b) => b[1] - a[1]).map(([, band, count]) => [bandName(band), `${told(count)} votes`]);
  };
  const title = (_, t) => (WIDTH > 1 ? `t = ${t} to ${t + WIDTH - 1} s` : `t = ${t} s`);
  return { option, walk: { axis: "x", values: HEATED }, title, said };
}

Object.assign(PICTURES, { over_time: overTime, heat });

/** Columns of the tables of these two. */
const ANSWERED_COLUMNS = {
  over_time: (run) => [
    ...QUANTILES.map((name, quantile) => [`${name}, ms`, inTime(run, run.response_all.map((second) => second?.[quantile] ?? null))]),
    ...run.response_by_second.map((seconds, place) => [`${proxyName(run, place)}, 99 % within, ms`, inTime(run, seconds.map((second) => second?.[2] ?? null))]),
  ],
  heat: (run) => BANDS.map((band) => {
    const votes = new Map();
    run.heat.flat().forEach(([t, lowest, ...counts]) => votes.set(t, (votes.get(t) ?? 0) + (counts[band - lowest] ?? 0)));
    return [bandName(band), TIMES.map((t) => votes.get(t) ?? 0)];
  }),
};
