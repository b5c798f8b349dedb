// How long people wait on the classify page, in Chromium on this machine:
//
//     node bench/web_page.mjs BIOPHONY HOME [OUT.json] [ROUNDS]
//
// BIOPHONY is a release build, HOME a home folder with a model (`biophony demo`).
// Needs `npm ci` in crates/web/e2e, and Debian's Chromium. Times are taken inside
// the page: from the event that the person causes to the frame after the one that
// shows the answer with its pictures. Medians over ROUNDS (default 11, at least 9)
// after two rounds that are not counted.
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../crates/web/e2e/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [program, home, out, rounds = "11"] = process.argv.slice(2);
if (!program || !home) throw new Error("usage: node bench/web_page.mjs BIOPHONY HOME [OUT.json] [ROUNDS]");
const ROUNDS = Math.max(9, Number(rounds));
const WARM_UP = 2;
const BARS_MS = { upload_480_kb_to_answer_ms: 100, stop_recording_to_answer_ms: 100, page_ready_ms: 300 };

const scratch = mkdtempSync(join(tmpdir(), "biophony-bench-"));
// Five seconds at 48 kHz and 16 bits: 480 KB of chirps over noise.
const clip = chirps(join(scratch, "clip.wav"), 48_000, 5);
const microphone = chirps(join(scratch, "microphone.wav"), 44_100, 4);

const server = spawn(program, ["--home", home, "serve", "--addr", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
const address = await new Promise((resolve, reject) => {
  let said = "";
  const hear = (data) => {
    said += data;
    const found = said.match(/http:\/\/127\.0\.0\.1:\d+/);
    if (found) resolve(found[0]);
  };
  server.stdout.on("data", hear);
  server.stderr.on("data", hear);
  server.on("exit", () => reject(new Error(said)));
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-audio-capture=${microphone}`,
  ],
});

const measured = { page_ready_ms: [], upload_480_kb_to_answer_ms: [], stop_recording_to_answer_ms: [] };
let weight = 0;
let requests = 0;
for (let round = -WARM_UP; round < ROUNDS; round += 1) {
  // A new context has an empty cache: a first visit.
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, permissions: ["microphone"] });
  const page = await context.newPage();
  const network = await context.newCDPSession(page);
  await network.send("Network.enable");
  let bytes = 0;
  let asked = 0;
  network.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
  network.on("Network.requestWillBeSent", () => (asked += 1));
  await page.goto(address);
  await page.waitForFunction(() => performance.getEntriesByName("usable").length > 0);
  const ready = await page.evaluate(() => performance.getEntriesByName("usable")[0].startTime);
  await page.waitForLoadState("networkidle");
  [weight, requests] = [bytes, asked];

  await watch(page, "#files", "change");
  await page.setInputFiles("#files", clip);
  const upload = await waited(page);

  await page.click("#tab-record");
  await page.click("#record");
  await page.waitForFunction(() => Number(document.querySelector("#record-clock").textContent.slice(2)) >= 3);
  await watch(page, "#record", "click");
  await page.click("#record");
  const stop = await waited(page);
  if (round >= 0) {
    measured.page_ready_ms.push(ready);
    measured.upload_480_kb_to_answer_ms.push(upload);
    measured.stop_recording_to_answer_ms.push(stop);
  }
  await context.close();
}
await browser.close();
server.kill("SIGTERM");

const results = { machine: { cores: cpus().length, cpu: cpus()[0]?.model }, rounds: ROUNDS, first_load_bytes: weight, first_load_requests: requests };
for (const [name, times] of Object.entries(measured)) {
  times.sort((a, b) => a - b);
  const round = (ms) => Math.round(ms * 10) / 10;
  results[name] = { median: round(times[Math.floor(times.length / 2)]), least: round(times[0]), most: round(times.at(-1)), bar: BARS_MS[name] };
}
const text = `${JSON.stringify(results, null, 2)}\n`;
if (out) writeFileSync(out, text);
process.stdout.write(text);

/** From now on: the time of the event, and of the frame after the next answer. */
async function watch(page, selector, event) {
  await page.evaluate(([selector, event]) => {
    window.waited = new Promise((resolve) => {
      let began;
      const before = document.querySelector(".answer");
      document.querySelector(selector).addEventListener(event, () => (began = performance.now()), { capture: true, once: true });
      const observer = new MutationObserver(() => {
        const answer = document.querySelector(".answer");
        if (began === undefined || !answer || answer === before) return;
        observer.disconnect();
        requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
      });
      observer.observe(document.querySelector("#results"), { childList: true, subtree: true });
    });
  }, [selector, event]);
}

function waited(page) {
  return page.evaluate(() => window.waited);
}

function chirps(path, rate, seconds) {
  const n = rate * seconds;
  const bytes = Buffer.alloc(44 + 2 * n);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + 2 * n, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(2 * rate, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * n, 40);
  let noise = 1;
  let phase = 0;
  for (let i = 0; i < n; i += 1) {
    const time = i / rate;
    noise = (noise * 16_807) % 2_147_483_647;
    phase += (2 * Math.PI * (2000 + 1500 * Math.sin(2 * Math.PI * 3 * time))) / rate;
    const call = time % 0.5 < 0.2 ? 0.5 * Math.sin(phase) : 0;
    bytes.writeInt16LE(Math.round(32_000 * (call + 0.02 * (noise / 2_147_483_647 - 0.5))), 44 + 2 * i);
  }
  writeFileSync(path, bytes);
  return path;
}
