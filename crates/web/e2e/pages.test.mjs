// Every page: accessible, light on the wire, alone with its own host, usable by
// keyboard, and photographed in light and dark, on a desk and in a hand.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { begunRun, browse, clipOf, epoch, heard, scratch, screenshot, serve, tell } from "./support.mjs";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LIMIT_BYTES = 150_000;
const LOOKS = [
  { theme: "light", width: 1280, height: 900 },
  { theme: "dark", width: 1280, height: 900 },
  { theme: "light", width: 390, height: 844 },
];

let server;
let browser;
before(async () => {
  server = await serve();
  // Something to compare the demo's run with.
  const run = await begunRun(server, "another");
  for (const step of [1, 2, 4]) await epoch(server, run, step);
  await tell(server, "runs/update", { run_id: run, status: "FINISHED", end_time: Date.now() });
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function serious(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(" | ")}`);
}

/** All pages that the navigation and, from there, tables lead to. */
async function addresses() {
  const page = await browser.page();
  await page.goto(server.address);
  const found = new Map([["classify", "/"]]);
  for (const link of await page.locator(".nav a").evaluateAll((links) => links.map((a) => a.getAttribute("href")))) if (link !== "/") found.set(link.slice(1), link);
  for (const list of [...found.values()].slice(1)) {
    await page.goto(server.address + list);
    const inner = await page.locator(`main a[href^="${list}/"]`).evaluateAll((links) => links.map((a) => a.getAttribute("href")));
    if (inner[0]) found.set(`${list.slice(1)}-one`, inner[0]);
  }
  // What forms and smaller links lead to.
  await page.goto(`${server.address}/runs`);
  for (const box of (await page.locator("input[name=run]").all()).slice(0, 3)) await box.check();
  await Promise.all([page.waitForURL("**/runs/compare?*"), page.getByRole("button", { name: "Compare" }).click()]);
  found.set("compare", page.url().slice(server.address.length));
  found.set("artifacts", `${found.get("runs-one")}/artifacts`);
  await page.goto(server.address + found.get("pipelines-one"));
  const lineage = await page.locator("main a[href^='/pipelines/lineage/']").first().getAttribute("href");
  found.set("lineage", lineage);
  await page.context().close();
  return found;
}

test("no page has serious findings of axe-core, in light, dark and on a phone", async () => {
  const findings = [];
  for (const [name, address] of await addresses()) {
    for (const look of LOOKS) {
      const page = await browser.page({ ...look, reducedMotion: "reduce" });
      const response = await page.goto(server.address + address);
      assert.equal(response.status(), 200, address);
      if (name === "classify") {
        await page.setInputFiles("#files", clipOf("owl"));
        await page.waitForSelector(".answer");
        await page.waitForSelector("#history .kept");
      }
      await page.waitForLoadState("networkidle");
      await screenshot(page, `${name}-${look.width < 500 ? "phone" : look.theme}`);
      for (const finding of await serious(page)) findings.push(`${name}, ${look.theme}, ${look.width}: ${finding}`);
      const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (sideways > 0) findings.push(`${name}, ${look.width}: scrolls sideways by ${sideways}`);
      await page.context().close();
    }
  }
  assert.deepEqual(findings, []);
});

test("the other two ways in and a table of answers have no serious findings", async () => {
  const findings = [];
  for (const theme of ["light", "dark"]) {
    const page = await browser.page({ theme, reducedMotion: "reduce" });
    for (const way of ["record", "live"]) {
      await page.goto(`${server.address}/#${way}`);
      await page.reload();
      await page.click(way === "record" ? "#record" : "#live");
      await page.waitForFunction(() => document.querySelector(".on"));
      await page.waitForTimeout(1500);
      for (const finding of await serious(page)) findings.push(`${way}, ${theme}: ${finding}`);
    }
    const words = join(scratch, "words.wav");
    writeFileSync(words, "no sound at all");
    await page.goto(`${server.address}/#upload`);
    await page.reload();
    await page.setInputFiles("#files", [clipOf("owl"), clipOf("frog"), words]);
    await page.waitForSelector("td.failed");
    await page.locator(".unfold[aria-expanded=false]").first().click();
    await page.waitForSelector("tr.unfolded");
    for (const finding of await serious(page)) findings.push(`table, ${theme}: ${finding}`);
    await page.context().close();
  }
  assert.deepEqual(findings, []);
});

test("who is asked for a token can give it, and is told when it is wrong", async () => {
  const tokens = join(scratch, "tokens");
  writeFileSync(tokens, "viewer 0123456789abcdef-viewer\neditor 0123456789abcdef-editor\n");
  const guarded = await serve({ args: ["--auth-token-file", tokens] });
  const page = await browser.page();
  await page.goto(`${guarded.address}/runs`);
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.getByLabel("Token").fill("not a token of this server");
  await page.keyboard.press("Enter");
  await page.getByText("That is no token of this server.").waitFor();
  assert.deepEqual(await serious(page), []);
  await screenshot(page, "login-wrong");
  await page.getByLabel("Token").fill("0123456789abcdef-viewer");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/runs");
  await page.goto(`${guarded.address}/login`);
  await page.getByText("You are logged in as a viewer").waitFor();
  for (const theme of ["light", "dark"]) {
    // Colors that are on their way are nobody's.
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    assert.deepEqual(await serious(page), []);
  }
  await screenshot(page, "login");
  // Every page says who one is, and has the way out.
  await page.goto(`${guarded.address}/runs`);
  const head = page.locator(".masthead-tools");
  assert.equal(await head.getByRole("link").innerText(), "Viewer");
  await screenshot(page, "runs-viewer");
  // A viewer looks and classifies, and is not offered what changes something.
  await page.goto(guarded.address);
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector(".answer");
  await page.locator(".feedback").getByRole("link", { name: "Log in as an editor" }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^(Correct|It is Owl)$/ }).count(), 0);
  await page.goto(`${guarded.address}/models`);
  assert.equal(await page.getByRole("button", { name: /Put into use|Roll back/ }).count(), 0);
  await head.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL("**/login*");
  assert.equal(await head.getByRole("link").count(), 0, "nobody is logged in");
  await page.goto(`${guarded.address}/runs`);
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.getByLabel("Token").fill("0123456789abcdef-editor");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/runs");
  assert.equal(await head.getByRole("link").innerText(), "Editor");
  // Who is shut out while the page is open is told so, by files and by live listening.
  await page.goto(`${guarded.address}/#live`);
  await page.waitForFunction(() => performance.getEntriesByName("usable").length > 0);
  await page.context().clearCookies();
  await page.click("#live");
  await page.locator("#live-status", { hasText: "You are no longer logged in. Load this page again to log in." }).waitFor();
  await page.setInputFiles("#files", clipOf("owl"));
  await page.locator("#results .callout", { hasText: "You are no longer logged in." }).waitFor();
  browser.problems.length = 0; // the browser itself tells of the refused WebSocket
  // Where nobody is asked there is nobody to be.
  await page.goto(`${server.address}/runs`);
  assert.equal(await head.getByRole("link").count(), 0);
  assert.equal(await page.getByRole("button", { name: "Log out" }).count(), 0);
  await page.context().close();
  await guarded.stop();
});

test("without a model the page says how to come by one, and goes on when there is one", async () => {
  const home = mkdtempSync(join(tmpdir(), "biophony-empty-"));
  const empty = await serve({ home });
  const page = await browser.page();
  await page.goto(empty.address);
  assert.ok((await page.locator("main").innerText()).includes(`biophony --home ${home} train recordings`));
  assert.deepEqual(await serious(page), []);
  await screenshot(page, "no-model");
  let asked = 0;
  await page.route("**/api/v1/model", (route) => {
    asked += 1;
    return route.fulfill({ json: { model: { name: "biophony", version: 1, labels: [] }, problem: null } });
  });
  await Promise.all([page.waitForEvent("load"), page.waitForResponse("**/api/v1/model")]);
  assert.ok(asked >= 1);
  await page.context().close();
  await empty.stop();
});

test("the first load is light and asks no other host", async () => {
  const page = await browser.page();
  const client = await page.context().newCDPSession(page);
  await client.send("Network.enable");
  let bytes = 0;
  const hosts = new Set();
  client.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.goto(server.address);
  await page.waitForLoadState("networkidle");
  assert.deepEqual([...hosts], [new URL(server.address).host]);
  assert.ok(bytes > 10_000 && bytes <= LIMIT_BYTES, `${bytes} bytes`);
  await page.context().close();
});

test("everything can be done by keyboard alone", async () => {
  const page = await browser.page();
  await page.goto(server.address);
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.className || document.activeElement?.tagName);
  await page.keyboard.press("Tab");
  assert.match(await focused(), /skip/);
  await page.keyboard.press("Enter");
  await tabTo(page, "#tab-upload");
  await page.keyboard.press("ArrowRight");
  assert.equal(await focused(), "tab-record");
  assert.ok(await page.locator("#panel-record").isVisible());
  await tabTo(page, "#record");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => Number(document.querySelector("#record-clock").textContent.slice(2)) >= 1);
  await page.keyboard.press("Space");
  await page.waitForSelector(".answer");
  assert.ok((await heard(page)).length > 0);
  await tabTo(page, ".answer .play");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector(".play").textContent.includes("Pause"));
  await page.keyboard.press("Space");
  await tabTo(page, ".tv-surface");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  assert.ok(Number(await page.locator(".tv-surface").getAttribute("aria-valuenow")) > 0);
  const outlined = await page.locator(".tv-surface").evaluate((element) => getComputedStyle(element).outlineStyle);
  assert.equal(outlined, "solid", "the focus is visible");
  await page.context().close();
});

async function tabTo(page, selector) {
  for (let step = 0; step < 60; step += 1) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector) ?? false, selector)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab never reaches ${selector}`);
}

test("the theme can be switched and stays switched", async () => {
  const page = await browser.page({ theme: "dark" });
  await page.goto(server.address);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await paper();
  await page.locator(".theme-switch").click();
  const light = await paper();
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await paper(), light);
  await page.context().close();
});
