// The picture of the README: the connections at each proxy, and who got the new ones, out of a comparison's page.
// node target/tmp/browser/picture.mjs DIR docs/the-case.png
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [dir, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--disable-dev-shm-usage"] });
const page = await browser.newPage({ viewport: { width: 1120, height: 1000 } });
await page.goto(pathToFileURL(join(resolve(dir), "compare.html")).href);
await page.waitForSelector("html[data-drawn]", { state: "attached" });
// Nothing opens in a picture.
await page.addStyleTag({ content: "details { display: none }" });
const { top } = await page.evaluate(() => document.getElementById("proxies-key").getBoundingClientRect().toJSON());
const { bottom } = await page.evaluate(() => document.getElementById("share").getBoundingClientRect().toJSON());
await page.screenshot({ path: out, fullPage: true, clip: { x: 0, y: Math.floor(top), width: 1120, height: Math.ceil(bottom - top) + 20 } });
await browser.close();
