// The figures of a picture as drawn, held against report.json. What is expected is taken from the report's own layout, second by
// second, not from the data that the page carries.
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

const total = (figures) => figures.reduce((sum, figure) => sum + (figure ?? 0), 0);

/** Every picture of the page: its series by name, its axes, as ECharts holds them. */
export const drawn = (page) => page.evaluate(() => [...charts].map(([place, { chart }]) => {
  const option = chart.getOption();
  const figure = (one) => (one !== null && typeof one === "object" && !Array.isArray(one) ? one.value : one);
  return {
    picture: place.dataset.picture,
    run: Number(place.dataset.run ?? 0),
    scale: [option.yAxis[0], option.xAxis[0]].map(({ type, min, max, data }) => (type === "category" ? (place.dataset.picture === "heat" ? data : []) : [min, max])),
    places: (option.xAxis[0].type === "category" ? option.xAxis : option.yAxis)[0].data,
    marks: option.series.flatMap((series) => series.markLine?.data ?? []).map((mark) => mark.yAxis).filter((mark) => mark !== undefined),
    series: option.series.map(({ name, data }) => ({ name, data: data.map(figure) })),
  };
}));

/** Holds all pictures of one run against its report. */
export function hold(pictures, run, report) {
  const of = (name) => pictures.find(({ picture, run: of }) => picture === name && of === run);
  const series = (name) => Object.fromEntries(of(name).series.map(({ name, data }) => [name, data]));
  const proxies = report.proxies.map(({ address }) => address);
  const bySecond = (name, key) => {
    const { places } = of(name);
    const held = series(name);
    for (const { t_s, proxies: cells } of report.timeline) {
      proxies.forEach((address, place) => assert.equal(
        held[`${place + 1}: ${address}`][places.indexOf(String(t_s))], cells[address][key], `${name} of ${address} at ${t_s} s`,
      ));
    }
  };
  bySecond("open", "open");
  bySecond("accepted", "accepted");
  bySecond("in_flight", "in_flight");
  assert.ok(of("open").marks.includes(report.limits.connections), "the limit's line");

  const votes = series("votes");
  for (const key of ["sent", "accepted", "failed"]) {
    const told = total(report.timeline.flatMap(({ proxies: cells }) => Object.values(cells).map((cell) => cell[key])));
    assert.equal(total(votes[key]), told, `votes ${key}`);
  }
  assert.equal(total(votes.planned), report.plan.tickets, "votes planned");

  const share = of("share");
  const held = series("share");
  assert.ok(share.places.length > 0, "seconds with new connections");
  for (const [at, second] of share.places.entries()) {
    const drawn = proxies.map((address, place) => held[`${place + 1}: ${address}`][at]);
    const cells = report.timeline.find(({ t_s }) => String(t_s) === second)?.proxies;
    if (!cells) {
      // Zones share their axis, and another one opened its doors earlier or was watched for longer.
      assert.ok(drawn.every((value) => (value ?? 0) === 0), `share at ${second} s, of which the report tells nothing: ${drawn}`);
      continue;
    }
    const all = total(Object.values(cells).map(({ opened }) => opened));
    if (all < 20 * proxies.length) continue;
    proxies.forEach((address, place) => {
      assert.ok(Math.abs(drawn[place] - (100 * cells[address].opened) / all) < 1e-9, `share of ${address} at ${second} s: ${drawn[place]}`);
    });
  }

  const quantiles = [["half within", "p50"], ["90 % within", "p90"], ["99 % within", "p99"], ["slowest", "max"]];
  for (const [name, key] of quantiles) {
    assert.deepEqual(series("response")[name], report.proxies.map(({ latency_ms }) => latency_ms.response[key]), `response ${key}`);
  }
  const overTime = series("over_time");
  const answered = of("over_time").places;
  const told = report.timeline.filter(({ response_ms }) => response_ms !== null);
  assert.ok(told.length > 0, "seconds with response times");
  for (const { t_s, response_ms } of told) {
    for (const [name, key] of quantiles.slice(0, 3)) {
      const drawn = overTime[name][answered.indexOf(String(t_s))];
      // The page tells three digits.
      assert.ok(Math.abs(drawn / response_ms[key] - 1) < 0.006, `${key} at ${t_s} s: ${drawn} for ${response_ms[key]}`);
    }
  }
  // The heat map holds every accepted vote once; its colours go by the logarithm of counts.
  const cells = series("heat").votes.map(([, , logarithm]) => Math.round(10 ** logarithm));
  assert.equal(total(cells), report.latency_ms.response.count, "votes of the heat map");
  const late = series("lateness")["99 % within"];
  report.timeline.forEach(({ t_s, lateness_p99_ms }) => assert.equal(late[of("lateness").places.indexOf(String(t_s))], lateness_p99_ms));

  if (of("failures")) {
    of("failures").places.forEach((told, place) => {
      const name = told.split(":")[0];
      assert.equal(total(of("failures").series.map(({ data }) => data[place])), report.votes.failures[name] ?? 0, `failures ${name}`);
      assert.ok(told.endsWith(`: ${(report.votes.failures[name] ?? 0).toLocaleString("en")}`), told);
    });
  } else {
    assert.deepEqual(report.votes.failures, {});
  }
  const measured = report.forecast.figures.filter(({ name }) => name !== "peak_open").map(({ measured }) => measured);
  assert.deepEqual(series("forecast").measured.map(([value]) => value), measured, "measured beside the forecast");
  report.dns.carriers.forEach(({ answers }, carrier) => proxies.forEach((address, place) => {
    const drawn = of("carriers").series[place].data[carrier];
    const told = (100 * (answers[address] ?? 0)) / total(Object.values(answers));
    assert.ok(Math.abs(drawn - told) < 1e-9, `answers of carrier ${carrier + 1} that name ${address}`);
  }));
}

/** Zones lie side by side on the same scales. */
export function sameScales(pictures) {
  for (const name of new Set(pictures.map(({ picture }) => picture))) {
    const alike = pictures.filter(({ picture }) => picture === name);
    assert.ok(alike.every(({ scale }) => isDeepStrictEqual(scale, alike[0].scale)), `${name} lies on ${JSON.stringify(alike.map(({ scale }) => scale))}`);
  }
}
