// Tables of the house: what they let one do, and how they look in a hand.
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LONG_LABEL, PHONE, begunRun, browse, registerAgain, screenshot, serve, sideways, tell } from "./support.mjs";

let server;
let browser;
before(async () => {
  server = await serve();
  for (const name of ["first of two", "second of two"]) {
    const run = await begunRun(server, name);
    await tell(server, "runs/update", { run_id: run, status: "FINISHED", end_time: Date.now() });
  }
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("runs are compared when two are chosen, and not before", async () => {
  const page = await browser.page();
  await page.goto(`${server.address}/runs`);
  const compare = page.getByRole("button", { name: "Compare the chosen runs" });
  const boxes = page.locator("input[name=run]");
  assert.ok(await compare.isDisabled());
  assert.equal(await compare.getAttribute("title"), "Choose at least 2");
  await boxes.nth(0).check();
  assert.ok(await compare.isDisabled(), "one run cannot be compared");
  await boxes.nth(1).check();
  assert.ok(await compare.isEnabled());
  await boxes.nth(0).uncheck();
  assert.ok(await compare.isDisabled());
  await boxes.nth(0).check();
  await Promise.all([page.waitForURL("**/runs/compare?*"), compare.click()]);
  assert.equal(new URL(page.url()).searchParams.getAll("run").length, 2);
  // Who goes back finds the boxes ticked, and the button ready for them.
  await page.goBack();
  assert.equal(await page.locator("input[name=run]:checked").count(), 2);
  assert.ok(await compare.isEnabled());
  await page.context().close();
});

/** What lies beyond the edge of what can be seen without scrolling sideways. */
const hidden = (page) => page.evaluate(() => {
  const boxes = [...document.querySelectorAll("main :is(a, button, td, th, time, .badge)")].filter((element) => element.getClientRects().length > 0 && !element.closest("thead"));
  return boxes.filter((element) => element.getBoundingClientRect().right > innerWidth || element.getBoundingClientRect().left < 0).map((element) => element.outerHTML.slice(0, 80));
});

test("a page that has nothing yet goes on when there is something", async () => {
  const empty = await serve({ home: mkdtempSync(join(tmpdir(), "biophony-nothing-")) });
  const page = await browser.page();
  await page.goto(`${empty.address}/runs`);
  await page.getByRole("heading", { name: "No runs yet" }).waitFor();
  await begunRun(empty, "the first of all");
  await page.getByRole("link", { name: "the first of all" }).waitFor({ timeout: 15_000 });
  await page.context().close();
  await empty.stop();
});

test("on a phone versions and runs of pipelines are read without scrolling sideways", async () => {
  const version = await registerAgain(server);
  for (const theme of ["light", "dark"]) {
    const page = await browser.page({ ...PHONE, theme });
    await page.goto(`${server.address}/pipelines`);
    assert.deepEqual(await hidden(page), []);
    await screenshot(page, `pipelines-stacked-${theme}`);
    await page.goto(`${server.address}/models`);
    assert.deepEqual(await hidden(page), []);
    // What a column is called stands in every card.
    const card = page.locator("tr", { hasText: `Version ${version}` });
    const names = await card.locator("td[data-label]").evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell, "::before").content));
    assert.deepEqual(names, ['"Registered"', '"accuracy"', '"macro-F1"', '"Run"']);
    await screenshot(page, `models-stacked-${theme}`);
    await page.context().close();
  }
  const page = await browser.page(PHONE);
  await page.goto(`${server.address}/models`);
  await Promise.all([
    page.waitForURL(`**/models/biophony/${version}`),
    page.getByRole("button", { name: `Put into use: version ${version}` }).click(),
  ]);
  await page.goto(`${server.address}/models`);
  assert.match(await page.locator("tr.selected").innerText(), new RegExp(`Version ${version}\\s+champion`));
  await page.context().close();
  // On a desk they are tables as before.
  const desk = await browser.page();
  await desk.goto(`${server.address}/models`);
  assert.equal(await desk.locator("table.stacked tbody tr").first().evaluate((row) => getComputedStyle(row).display), "table-row");
  await screenshot(desk, "models-desk");
  await desk.context().close();
});

test("recordings of classes with long names stay in the page and in their cards", async () => {
  for (const size of [{}, PHONE]) {
    const page = await browser.page(size);
    for (const address of ["/data", "/data/clips"]) {
      await page.goto(server.address + address);
      await page.evaluate((label) => {
        for (const details of document.querySelectorAll("details")) details.open = true;
        for (const name of document.querySelectorAll(".classes th a, figcaption .badge, option")) name.textContent = label;
      }, LONG_LABEL);
      assert.ok((await sideways(page)) <= 0, `${address} scrolls sideways by ${await sideways(page)}`);
      const out = await page.evaluate(() => [...document.querySelectorAll("figure.listen *")].filter((inner) => inner.getBoundingClientRect().right > inner.closest("figure").getBoundingClientRect().right + 0.5).length);
      assert.equal(out, 0, "what a card holds is in it");
    }
    await page.context().close();
  }
});

test("on a phone the classes of a collection are a table without an end beyond the edge", async () => {
  const page = await browser.page(PHONE);
  await page.goto(`${server.address}/data`);
  assert.deepEqual(await hidden(page), []);
  const heads = await page.locator(".classes thead th:visible").evaluateAll((heads) => heads.map((head) => head.getBoundingClientRect().right - innerWidth));
  assert.ok(heads.every((beyond) => beyond < 0), `${heads}`);
  const lines = await page.locator(".classes th a").evaluateAll((names) => names.map((name) => name.getClientRects().length));
  assert.ok(lines.every((n) => n === 1), `no name of a class of the demo is torn: ${lines}`);
  // How long they are together, for an hour at most, is one line.
  const together = page.locator(".stat .value").last();
  const { before, after } = await together.evaluate((value) => {
    value.textContent = "1";
    const before = value.offsetHeight;
    value.textContent = "57 min 12 s";
    return { before, after: value.offsetHeight };
  });
  assert.equal(after, before);
  assert.ok((await sideways(page)) <= 0);
  await page.context().close();
});
