// The microphone: what is recorded is what was played, and every way in which
// recording can be impossible has its own words.
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browse, cliAnswer, clipOf, heard, microphoneFile, readWav, scratch, screenshot, serve } from "./support.mjs";

let server;
before(async () => {
  server = await serve({ args: ["--allow-host", "field.test"] });
});
after(() => server?.stop());

test("a recording is what the microphone gave, and is answered as the command line answers it", async () => {
  const source = microphoneFile(clipOf("woodpecker"));
  const browser = await browse({ wav: source });
  const page = await browser.page();
  await page.goto(server.address);
  await page.click("#tab-record");
  await page.click("#record");
  await page.waitForFunction(() => Number(document.querySelector("#record-clock").textContent.slice(2)) >= 4);
  assert.match(await page.locator("#mic-rate").innerText(), /kHz/);
  assert.ok(Number(await page.locator("#mic-level").getAttribute("aria-valuenow")) > -59, "the level meter moves");
  await screenshot(page, "recording");
  await page.click("#record");
  await page.waitForSelector(".answer");
  await screenshot(page, "recorded");

  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#record-download")]);
  const path = join(scratch, "recorded.wav");
  copyFileSync(await download.path(), path);
  const recorded = readWav(path);
  const played = readWav(source);
  assert.equal(recorded.bits, 24);
  assert.ok(recorded.samples.length > 3.5 * recorded.rate);

  // The page's answer is the command line's answer for the same file …
  const expected = cliAnswer(path);
  const shown = await page.evaluate(() => [...document.querySelectorAll(".probabilities .bars > div")].map((row) => row.innerText.replaceAll("\n", " ")));
  const name = await heard(page);
  assert.ok(name.toLowerCase().startsWith(expected.accepted ? expected.label : "unknown"), `${name}, not ${expected.label}`);
  for (const [place, { label, probability }] of expected.predictions.slice(0, 5).entries()) {
    assert.ok(shown[place].toLowerCase().startsWith(label.replaceAll("_", " ")), `${shown[place]}, not ${label}`);
    const percent = Math.round(100 * probability);
    if (percent > 1 && percent < 99) assert.ok(shown[place].includes(`${percent} %`), `${shown[place]} for ${probability}`);
  }
  // … and the sound is the one that was played, at the same level.
  assert.equal(recorded.rate, played.rate, "nothing was resampled");
  // Another sound of the collection differs by more than its own level.
  const { error, level } = likeness(recorded.samples, played.samples, recorded.rate);
  assert.ok(error < 0.1 * level, `differs by ${error} of ${level}`);
  assert.equal(cliAnswer(source).label, expected.label);
  await browser.close();
});

/**
 * Least root-mean-square difference between half a second of the recording and the looped
 * source, of three places: on a busy machine the browser's own microphone may skip.
 */
function likeness(recorded, played, rate) {
  const places = [0.25, 0.5, 0.75].map((share) => Math.floor(recorded.length * share));
  const each = places.map((from) => likenessOf(recorded.subarray(from, from + rate / 2), played));
  return each.reduce((best, one) => (one.error / one.level < best.error / best.level ? one : best));
}

function likenessOf(piece, played) {
  const level = Math.sqrt(piece.reduce((sum, x) => sum + x * x, 0) / piece.length);
  let best = Infinity;
  for (let shift = 0; shift < played.length; shift += 1) {
    let sum = 0;
    for (let i = 0; i < piece.length && sum < best; i += 7) sum += (piece[i] - played[(shift + i) % played.length]) ** 2;
    best = Math.min(best, sum);
  }
  return { error: Math.sqrt(best / Math.ceil(piece.length / 7)), level };
}

test("with the box unticked a recording waits to be listened to", async () => {
  const browser = await browse({ wav: microphoneFile(clipOf("owl")) });
  const page = await browser.page();
  await page.goto(`${server.address}/#record`);
  await page.uncheck("#record-at-once");
  await page.click("#record");
  await page.waitForFunction(() => Number(document.querySelector("#record-clock").textContent.slice(2)) >= 1);
  await page.click("#record");
  await page.waitForSelector("#record-after:not([hidden])");
  assert.equal(await page.locator(".answer").count(), 0);
  // The button is there for what the box does not do.
  await page.check("#record-at-once");
  assert.ok(await page.locator("#record-classify").isHidden());
  await page.uncheck("#record-at-once");
  await page.click("#record-listen");
  await page.waitForFunction(() => document.querySelector("#record-listen").textContent.includes("Pause"));
  await page.click("#record-classify");
  await page.waitForSelector(".answer");
  await browser.close();
});

/** The microphone is given `delay` ms after it was asked for, as when people think about the browser's question. */
async function slowlyAllowed(browser, way, delay) {
  const page = await browser.page();
  await page.addInitScript((delay) => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.streams = [];
    navigator.mediaDevices.getUserMedia = async (wish) => {
      await new Promise((resolve) => setTimeout(resolve, delay));
      const stream = await ask(wish);
      window.streams.push(stream);
      return stream;
    };
  }, delay);
  await page.goto(`${server.address}/#${way}`);
  return page;
}

/** How many microphones are open, once the browser has given `asked` of them and what is called off had time to be closed. */
async function open(page, asked) {
  await page.waitForFunction((asked) => window.streams.length === asked, asked);
  await page.waitForTimeout(700);
  return page.evaluate(() => window.streams.flatMap((stream) => stream.getTracks()).filter((track) => track.readyState === "live").length);
}

for (const way of ["record", "live"]) {
  test(`who leaves ${way} before the browser's question is answered is not heard`, async () => {
    const browser = await browse({ wav: microphoneFile(clipOf("owl")) });
    const page = await slowlyAllowed(browser, way, 1000);
    await page.click(`#${way}`);
    await page.getByText("Waiting for the microphone…").waitFor();
    await page.click("#tab-upload");
    assert.equal(await open(page, 1), 0);
    await page.click(`#tab-${way}`);
    assert.equal(await page.locator(`#${way}.on`).count(), 0);
    assert.match(await page.locator(`#${way}-status`).innerText(), /^Ready/);
    // Called off is not refused, and the next wish is granted.
    assert.ok(await page.locator("#mic-problem").isHidden());
    await page.click(`#${way}`);
    await page.waitForSelector(`#${way}.on`);
    assert.equal(await open(page, 2), 1);
    await page.click("#tab-upload");
    assert.equal(await open(page, 2), 0);
    await browser.close();
  });
}

test("listening that begins while a recording waits for the microphone has it alone", async () => {
  const browser = await browse({ wav: microphoneFile(clipOf("owl")) });
  const page = await slowlyAllowed(browser, "record", 1000);
  await page.click("#record");
  await page.click("#tab-live");
  await page.click("#live");
  await page.waitForSelector("#live.on");
  assert.equal(await open(page, 2), 1);
  assert.equal(await page.locator("#record.on").count(), 0);
  await page.click("#live");
  await page.getByText("Stopped").waitFor();
  assert.equal(await open(page, 2), 0);
  assert.ok(await page.locator("#results").isHidden(), "nothing was recorded");
  await browser.close();
});

test("a recording that is left goes on nowhere, and is answered", async () => {
  const browser = await browse({ wav: microphoneFile(clipOf("owl")) });
  const page = await slowlyAllowed(browser, "record", 0);
  await page.click("#record");
  await page.waitForFunction(() => Number(document.querySelector("#record-clock").textContent.slice(2)) >= 1);
  await page.click("#tab-live");
  await page.click("#live");
  await page.waitForSelector("#live.on");
  assert.equal(await open(page, 2), 1);
  await page.waitForSelector(".answer");
  await browser.close();
});

const refusals = [
  ["denied", { microphone: "denied" }, "denied", /told not to let this page use the microphone/],
  ["no device", { microphone: "none", args: ["--use-fake-ui-for-media-stream"] }, "no-device", /No microphone was found/],
];
for (const [name, setting, problem, words] of refusals) {
  test(`${name}: the page says what to do`, async () => {
    const browser = await browse(setting);
    const page = await browser.page();
    await page.goto(`${server.address}/#record`);
    await page.click("#record");
    await page.waitForSelector("#mic-problem:not([hidden])");
    assert.equal(await page.locator("#mic-problem").getAttribute("data-problem"), problem);
    assert.match(await page.locator("#mic-problem").innerText(), words);
    await screenshot(page, `microphone-${problem}`);
    await browser.close();
  });
}

test("over plain http on the network the page says why there is no microphone", async () => {
  const browser = await browse({ args: ["--host-resolver-rules=MAP field.test 127.0.0.1"] });
  const page = await browser.page({ width: 390, height: 844 });
  await page.goto(`http://field.test:${new URL(server.address).port}/#record`);
  await page.waitForSelector("#mic-problem:not([hidden])");
  assert.equal(await page.locator("#mic-problem").getAttribute("data-problem"), "insecure");
  assert.match(await page.locator("#mic-problem").innerText(), /--tls self-signed/);
  assert.ok(await page.locator("#record").isDisabled());
  await screenshot(page, "microphone-insecure-phone");
  await browser.close();
});
