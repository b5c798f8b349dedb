// Runs that are under way: curves and figures follow while the page is open. The run
// is one of an MLflow client's, told epoch by epoch.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begunRun, browse, epoch, screenshot, serve, tell } from "./support.mjs";

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** What stands beside a curve's name: its last value. */
const isLast = (page, name, value) => page.waitForFunction(([name, value]) => {
  const entry = [...document.querySelectorAll(".legend li")].find((entry) => entry.textContent.startsWith(name) && entry.querySelector("output"));
  return entry?.querySelector("output").textContent === value;
}, [name, value], { timeout: 15_000 });

test("a run's curves grow while its page is open, until it ends", async () => {
  const run = await begunRun(server, "under way");
  await epoch(server, run, 1);
  const page = await browser.page();
  await page.goto(`${server.address}/runs/${run}`);
  assert.match(await page.locator("#curves ~ .live-mark, .section-head .live-mark").first().innerText(), /live/);
  for (const step of [2, 4, 5]) await epoch(server, run, step);
  await isLast(page, "val_loss", "0.25");
  await isLast(page, "val_accuracy", "0.9");
  await epoch(server, run, 10);
  await isLast(page, "val_loss", "0.125");
  // Figures of the page follow as well.
  await page.waitForFunction(() => document.querySelector("[data-part=metrics]").textContent.includes("0.95"), undefined, { timeout: 15_000 });
  // And so does all that comes later than the page.
  const follows = (part, text) => page.locator(`[data-part=${part}]`, { hasText: text }).waitFor({ timeout: 15_000 });
  await tell(server, "runs/log-parameter", { run_id: run, key: "depth", value: "seven layers" });
  await follows("params", "seven layers");
  const { model_version } = await tell(server, "model-versions/create", { name: "biophony", source: `runs:/${run}/model`, run_id: run });
  await follows("actions", `Model biophony ${model_version.version}`);
  const dataset = { name: "dawn chorus", digest: "d1", source_type: "local", source: "{}" };
  await tell(server, "runs/log-inputs", { run_id: run, datasets: [{ tags: [], dataset }] });
  await follows("datasets", "dawn chorus");
  await screenshot(page, "run-live");
  await tell(server, "runs/update", { run_id: run, status: "FINISHED", end_time: Date.now() });
  await page.getByText("The run has ended.").waitFor({ timeout: 15_000 });
  await page.waitForFunction(() => [...document.querySelectorAll(".live-mark")].every((mark) => mark.hidden || mark.offsetParent === null), undefined, { timeout: 15_000 });
  await page.context().close();
});
