// Opens the pages of a comparison's directory in chromium and looks at them: figures, requests, errors, contrast, keyboard.
// node look.mjs DIR; screenshots are left beside this file.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { drawn, hold, sameScales } from "./figures.mjs";

const dir = resolve(process.argv[2]);
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const json = (path) => JSON.parse(readFileSync(join(dir, path), "utf8"));
const comparison = json("compare.json");

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--disable-dev-shm-usage"] });

const page = await browser.newPage();
let complaints = [];
let url = "";
page.on("request", (request) => request.url() === url || complaints.push(`asks for ${request.url()}`));
page.on("console", (message) => complaints.push(`says ${message.text()}`));
page.on("pageerror", (error) => complaints.push(`fails: ${error.stack}`));
page.on("dialog", (dialog) => {
  complaints.push(`opens a dialog: ${dialog.message()}`);
  dialog.dismiss();
});

/** The page asked for nothing but itself, said nothing on the console and opened no dialog. */
const fine = () => assert.deepEqual(complaints, [], url);

/** Opens a page of the directory and waits until all of it is drawn. */
async function open(path, { colorScheme = "light", width = 1400, height = 1000 } = {}) {
  complaints = [];
  url = pathToFileURL(join(dir, path)).href;
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme });
  await page.goto(url);
  await page.waitForSelector("html[data-drawn]", { state: "attached" });
  fine();
}

async function figures() {
  await open("compare.html");
  const pictures = await drawn(page);
  comparison.runs.forEach(({ report }, place) => hold(pictures, place, report));
  sameScales(pictures);
  await page.screenshot({ path: "compare-light.png", fullPage: true });
  // The tables hold the same, made when they are opened.
  await page.locator("details[data-table=open] > summary").click();
  const { report } = comparison.runs[0];
  const last = report.timeline[report.timeline.length - 1];
  const row = page.locator("details[data-table=open] table").first().locator("tbody tr").last();
  await row.waitFor();
  const cells = await row.locator("td").allTextContents();
  assert.deepEqual(cells, report.proxies.map(({ address }) => last.proxies[address].open.toLocaleString("en")));
  fine();
  await open("diff.html");
  const both = await drawn(page);
  comparison.runs.slice(0, 2).forEach(({ report }, place) => hold(both, place, report));
  sameScales(both);
  // What differs for sure stands above all pictures: the zones of this comparison share new connections otherwise.
  const says = await page.locator("#changes table").first().locator("tbody tr td:nth-child(2)").allTextContents();
  assert.ok(says.length > 0 && says.every((word) => ["WORSE", "better", "different"].includes(word)), String(says));
  const [changes, first] = await page.evaluate(() => ["#changes", ".picture"].map((of) => document.querySelector(of).getBoundingClientRect().top));
  assert.ok(changes < first, "differences come before pictures");
  await page.screenshot({ path: "diff-light.png", fullPage: true });
  fine();
  const [{ zone, report: alone }] = comparison.runs;
  await open(join(zone, "report.html"));
  hold(await drawn(page), 0, alone);
  fine();
  // One zone began earlier than the other.
  await open("uneven.html");
  const uneven = await drawn(page);
  json("uneven.json").runs.forEach(({ report }, place) => hold(uneven, place, report));
  sameScales(uneven);
  fine();
}

/** No violation of any of axe-core's rules; in the dark it looks at contrasts only, for the rest is the same. */
async function accessibility() {
  const dark = { runOnly: ["color-contrast", "link-in-text-block"] };
  for (const [name, look, rules, path] of [
    ["light", {}, {}, "compare"], ["dark", { colorScheme: "dark" }, dark, "compare"], ["phone", { width: 390, height: 844 }, null, "compare"],
    ["light", {}, {}, "diff"], ["phone", { width: 390, height: 844 }, null, "diff"],
  ]) {
    await open(`${path}.html`, look);
    if (name !== "light") await page.screenshot({ path: `${path}-${name}.png`, fullPage: true });
    const across = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(across <= 0, `${path}, ${name}: the page is ${across} px wider than the window`);
    if (rules) {
      // Tables are closed at first; of those second by second one is as good as all, and so are the first rows of each.
      await page.evaluate(() => document.querySelectorAll("#tables details, #changes details, [data-table=open], [data-table=heat]").forEach((details) => { details.open = true; }));
      await page.waitForFunction(() => [...document.querySelectorAll("details[data-table][open]")].every((details) => details.querySelector("table")));
      await page.evaluate(axe);
      const run = (rules) => globalThis.axe.run({ exclude: ["svg", "tbody tr:nth-child(n+4)"] }, { resultTypes: ["violations"], ...rules });
      const { violations } = await page.evaluate(run, rules);
      const told = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary}`);
      assert.deepEqual(told, [], `${path}, ${name}`);
    }
    fine();
  }
}

async function keyboard() {
  await open("compare.html");
  const focused = () => page.evaluate(() => document.activeElement.closest("[data-picture],[data-proxy]")?.dataset);
  const tabTo = async (wanted) => {
    for (let tabs = 0; tabs < 60; tabs += 1) {
      await page.keyboard.press("Tab");
      const at = await focused();
      if (at && wanted(at)) return;
    }
    assert.fail("the keyboard does not lead there");
  };
  await tabTo(({ proxy }) => proxy === "1");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("[data-proxy='1']").getAttribute("aria-pressed"), "true");
  const opacity = await page.evaluate(() => [...charts.values()][0].chart.getOption().series.map((series) => series.lineStyle.opacity));
  assert.deepEqual(opacity.slice(0, 3), [0.08, 1, 0.08], "the picked proxy stands out");
  await page.keyboard.press("Enter");
  await tabTo(({ picture }) => picture === "open");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  const { report } = comparison.runs[0];
  const second = report.timeline.find(({ t_s }) => t_s === 1).proxies;
  const [address, { open: most }] = Object.entries(second).sort(([, a], [, b]) => b.open - a.open)[0];
  const place = report.proxies.findIndex((proxy) => proxy.address === address) + 1;
  const said = await page.locator("[aria-live]").textContent();
  assert.ok(said.startsWith("t = 1 s, ") && said.includes(`${place}: ${address} ${most.toLocaleString("en")}`), said);
  // Both zones show the same second.
  assert.deepEqual(await page.locator(".tip b").allTextContents(), ["t = 1 s", "t = 1 s"]);
  await page.screenshot({ path: "compare-keyboard.png" });
  fine();
}

async function oddRuns() {
  for (const name of ["hostile", "nothing", "one-proxy", "large"]) {
    await open(`${name}.html`);
    const { drawn, words, all } = await page.evaluate(() => ({
      drawn: Number(document.documentElement.dataset.drawn),
      words: performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd,
      all: performance.getEntriesByName("drawn")[0].startTime,
    }));
    console.log(`${name}.html: to be read after ${Math.round(words)} ms, ${drawn} pictures after ${Math.round(all)} ms`);
    assert.equal(drawn > 0, name !== "nothing", name);
    assert.equal(await page.locator("img").count(), 0, name);
    await page.locator(".chart, .none").first().hover();
    await page.screenshot({ path: `${name}.png` });
    fine();
  }
}

try {
  for (const look of [figures, accessibility, keyboard, oddRuns]) {
    await look();
    console.log(`${look.name}: ${Math.round(performance.now() / 1000)} s after the start`);
  }
} finally {
  await browser.close();
}
