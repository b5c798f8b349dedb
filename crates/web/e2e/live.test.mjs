// Listening live: twenty seconds of sound, and a model that changes meanwhile.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { PHONE, anotherVersion, browse, clipOf, cliAnswer, microphoneFile, screenshot, serve } from "./support.mjs";

let server;
let browser;
let expected;
before(async () => {
  server = await serve();
  const source = microphoneFile(clipOf("woodpecker"));
  expected = cliAnswer(source).label;
  browser = await browse({ wav: source });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("twenty seconds of listening: pictures, bars, a timeline, nothing left out", async () => {
  const page = await browser.page();
  await page.goto(`${server.address}/#live`);
  await page.click("#live");
  await page.waitForFunction(() => document.querySelector("#live-status").textContent === "Listening");
  await page.waitForFunction(() => document.querySelector("#live-clock").textContent === "0:20", undefined, { timeout: 40_000 });
  const colors = await page.locator("#live-scroll").evaluate((canvas) => new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height * 0.7).data.buffer)).size);
  assert.ok(colors > 40, `the spectrogram has ${colors} colors`);
  assert.ok((await page.locator("#live-bars > div").count()) >= 3);
  const entries = await page.locator("#live-timeline li b").allInnerTexts();
  assert.ok(entries.some((name) => name.toLowerCase() === expected), `${entries} has ${expected}`);
  await screenshot(page, "live");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#live-save")]);
  const lines = readFileSync(await download.path(), "utf8").trim().split("\r\n");
  assert.match(lines[0], /^heard_at,start_seconds,end_seconds,label,probability,model$/);
  assert.ok(Number(lines.at(-1).split(",")[2]) > 12, `heard until the end: ${lines.at(-1)}`);
  await page.click("#live");
  await page.waitForFunction(() => document.querySelector("#live-status").textContent === "Stopped");
  await page.context().close();
});

test("when another model is put into use, the listening page follows", async () => {
  const page = await browser.page();
  await page.goto(`${server.address}/#live`);
  const before = await page.locator("#model-line .model-name").innerText();
  await page.click("#live");
  await page.waitForFunction(() => document.querySelector("#live-status").textContent === "Listening");
  const version = await anotherVersion(server);
  await page.waitForFunction((version) => document.querySelector("#live-timeline")?.textContent.includes(`version ${version} answers`), version, { timeout: 20_000 });
  const after = await page.locator("#model-line .model-name").innerText();
  assert.notEqual(after, before);
  assert.match(after, new RegExp(`version ${version}$`));
  assert.equal(await page.locator("#live-status").innerText(), "Listening");
  await page.context().close();
});

test("a model that knows fewer sounds leaves no bars of the one before", async () => {
  const page = await browser.page();
  let most = Infinity;
  await page.routeWebSocket("**/api/v1/live**", (socket) => {
    socket.connectToServer().onMessage((text) => {
      const message = JSON.parse(text);
      if (message.type === "window") message.predictions.splice(most);
      socket.send(JSON.stringify(message));
    });
  });
  await page.goto(`${server.address}/#live`);
  await page.click("#live");
  const bars = (n) => page.waitForFunction((n) => document.querySelectorAll("#live-bars > div").length === n, n, { timeout: 20_000 });
  await bars(5);
  most = 2;
  await bars(2);
  most = 5;
  await bars(5);
  await page.context().close();
});

test("on a phone what is said of lost sound stays on the page", async () => {
  const page = await browser.page(PHONE);
  await page.goto(`${server.address}/#live`);
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  const before = await width();
  await page.locator("#live-dropped").evaluate((badge) => {
    badge.hidden = false;
    badge.textContent = "12.6 s left out: the server or the network did not keep up";
  });
  assert.equal(await width(), before);
  await page.context().close();
});
