// Listening live over a bad network: what is lost is told, and listening goes on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browse, clipOf, microphoneFile, screenshot, serve, wire } from "./support.mjs";

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await browse({ wav: microphoneFile(clipOf("woodpecker")) });
});
after(async () => {
  await browser?.browser.close();
  await server?.stop();
});

const isSaid = (page, selector, words) => page.waitForFunction(([selector, words]) => document.querySelector(selector)?.textContent.includes(words), [selector, words], { timeout: 90_000 });

/** A wire that is gone when the test is, or a failed test would keep the process from its end. */
async function wired(t) {
  const line = await wire(server.address);
  t.after(() => line.close());
  return line;
}

async function listen(address) {
  const page = await browser.page();
  await page.goto(`${address}/#live`);
  await page.click("#live");
  await isSaid(page, "#live-status", "Listening");
  return page;
}

/** A window that ended later than this second of listening was heard. */
const heardAfter = (page, second) => page.waitForFunction((second) => {
  const seconds = (clock) => clock.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
  const ends = [...document.querySelectorAll("#live-timeline time")].map((time) => seconds(time.textContent.split("–")[1]));
  return Math.max(...ends) > second;
}, second, { timeout: 40_000 });

const clock = (page) => page.locator("#live-clock").innerText().then((text) => text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0));

test("when the connection is cut the page says so, goes on when it can, and tells what is missing", async (t) => {
  const line = await wired(t);
  const page = await listen(line.address);
  await heardAfter(page, 1);
  line.cut();
  await isSaid(page, "#live-status", "The connection was lost");
  // Several tries in vain.
  await page.waitForTimeout(2500);
  line.mend();
  await isSaid(page, "#live-status", "Listening");
  await heardAfter(page, (await clock(page)) + 1);
  const lost = parseFloat(await page.locator("#live-dropped").innerText());
  assert.ok(lost > 2 && lost < 20, `${lost} s left out`);
  assert.match(await page.locator("#live-timeline").innerText(), /The connection was lost at 0:\d\d/);
  await screenshot(page, "live-lost");
  await page.click("#live");
  await isSaid(page, "#live-status", "Stopped");
  await page.context().close();
});

test("when the network is slower than the sound, nothing piles up: listening begins again", async (t) => {
  const line = await wired(t);
  const page = await listen(line.address);
  line.stopUp();
  await isSaid(page, "#live-timeline", "The network was too slow");
  await isSaid(page, "#live-status", "Listening");
  await heardAfter(page, (await clock(page)) + 1);
  assert.match(await page.locator("#live-dropped").innerText(), /left out: the server or the network did not keep up/);
  await page.context().close();
});

test("sound that comes in a rush is dropped by the server, which tells of it", async (t) => {
  const line = await wired(t);
  const page = await listen(line.address);
  await heardAfter(page, 1);
  // Twice what the server has room for, so that it cannot hear the half of it meanwhile.
  const deliver = line.hold();
  const from = await clock(page);
  await page.waitForFunction((until) => {
    const [minutes, seconds] = document.querySelector("#live-clock").textContent.split(":").map(Number);
    return 60 * minutes + seconds > until;
  }, from + 20);
  deliver();
  await isSaid(page, "#live-dropped", "left out");
  assert.ok(parseFloat(await page.locator("#live-dropped").innerText()) > 1);
  assert.equal(await page.locator("#live-status").innerText(), "Listening");
  await page.context().close();
});
