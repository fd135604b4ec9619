// Opens the page of a rehearsal that goes on and looks at it until the command has ended: what it asks for, errors, contrast, keyboard.
// node live.mjs; says "ready" when it wants the page's address on a line of its input, and last prints the figures as JSON. A browser
// may take longer to start than the rehearsal takes. Screenshots are left beside this file.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { chromium } from "playwright-core";

const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
// Gathering agents, open doors and two bursts on a busy machine.
const PATIENCE = { timeout: 120_000 };

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--disable-dev-shm-usage"] });
const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
const complaints = [];
let url = "";
page.on("request", (request) => request.url().startsWith(url) || request.url().startsWith("data:") || complaints.push(`asks for ${request.url()}`));
page.on("console", (message) => complaints.push(`says ${message.text()}`));
page.on("pageerror", (error) => complaints.push(`fails: ${error.stack}`));
page.on("dialog", (dialog) => {
  complaints.push(`opens a dialog: ${dialog.message()}`);
  dialog.dismiss();
});
const fine = () => assert.deepEqual(complaints, []);

/** The figures at the top, the proxies by address, and what the picture of sessions ends with. */
const figures = () => page.evaluate(() => {
  const top = Object.fromEntries([...document.querySelectorAll("[data-figure]")].map(({ dataset }) => [dataset.figure, Number(dataset.value)]));
  const number = (text) => Number(text.replaceAll(",", ""));
  const rows = [...document.querySelectorAll("#proxies tbody tr")].map((row) => [row.querySelector("th").textContent, [...row.querySelectorAll("td")]]);
  const proxies = Object.fromEntries(rows.map(([address, cells]) => [address, { open: number(cells[0].textContent), accepted: number(cells[3].textContent) }]));
  const drawn = charts[0][1].getOption().series.map(({ name, data }) => [name, data.at(-1)?.[1] ?? 0]);
  const cells = charts.find(([name]) => name === "heat")[1].getOption().series[0].data;
  const heat = cells.reduce((sum, [, , logarithm]) => sum + Math.round(10 ** logarithm), 0);
  return { ...top, proxies, drawn: Object.fromEntries(drawn), heat };
});

/** The picture of sessions still tells, all having hung up, how near to the limit a proxy was. */
async function limitIsSeen() {
  const seen = await page.evaluate(() => {
    const [{ live, points }, sessions] = [runs.at(-1), charts[0][1]];
    const most = points.reduce((all, { open }) => Math.max(all, ...open), 0);
    const top = sessions.getModel().getComponent("yAxis").axis.scale.getExtent()[1];
    return { limit: live.proxies[0].limit, most, top, line: sessions.getOption().series[0].markLine?.data[0].yAxis ?? null };
  });
  console.error(`limit on the page: ${JSON.stringify(seen)}`);
  assert.equal(seen.line, seen.most >= seen.limit / 2 ? seen.limit : null);
  assert.ok(seen.line === null || seen.top >= seen.line, `a scale up to ${seen.top} does not show ${seen.line}`);
}

async function accessible(name) {
  const across = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(across <= 0, `${name}: the page is ${across} px wider than the window`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ exclude: ["svg"] }, { resultTypes: ["violations"] }));
  assert.deepEqual(violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary}`), [], name);
}

try {
  const asking = createInterface({ input: process.stdin });
  console.log("ready");
  for await (const line of asking) {
    url = line;
    break;
  }
  await page.goto(url);
  await page.waitForFunction(() => document.querySelector("[data-figure=accepted]")?.dataset.value > 0, null, PATIENCE);
  await page.screenshot({ path: "live-burst.png", fullPage: true });
  fine();
  await page.waitForFunction(() => document.getElementById("link").textContent.startsWith("The command has ended"), null, PATIENCE);
  const last = await figures();
  assert.equal(await page.locator("#phase").textContent(), "Done");
  await page.screenshot({ path: "live-light.png", fullPage: true });
  await limitIsSeen();
  await accessible("light");
  // The keyboard leads to the choice of pictures and through it.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.name), "shape");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate(() => charts[0][1].getOption().series.every(({ stack }) => stack === "all")), true);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: "live-dark.png", fullPage: true });
  await accessible("dark");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: "live-phone.png", fullPage: true });
  await accessible("phone");
  fine();
  console.log(JSON.stringify(last));
} finally {
  await browser.close();
}
