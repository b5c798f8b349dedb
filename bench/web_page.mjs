// How long people wait on the classify page, in Chromium on this machine:
//
//     node bench/web_page.mjs BIOPHONY [HOME] [OUT.json] [--readme README.md] [--rounds N]
//
// BIOPHONY is a release build, HOME a home folder with a model; where there is none,
// the demo is trained first. Needs `npm ci` in crates/web/e2e, and Debian's Chromium
// (or CHROMIUM). Times are taken inside the page: from the event that the person
// causes to the frame after the one that shows the answer with its pictures. Each
// round is a first visit, with nothing in the cache. Medians over the rounds (11, at
// least 9) after two that are not counted.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { readme: { type: "string" }, rounds: { type: "string", default: "11" } },
});
const scratch = mkdtempSync(join(tmpdir(), "biophony-bench-"));
const [program, home = join(scratch, "home"), out] = positionals;
if (!program) throw new Error("usage: node bench/web_page.mjs BIOPHONY [HOME] [OUT.json] [--readme README.md] [--rounds N]");
const ROUNDS = Math.max(9, Number(options.rounds));
const WARM_UP = 2;
const ROWS = {
  page_ready_ms: { text: "first visit until the page does what it is asked", bar: 300 },
  upload_480_kb_to_answer_ms: { text: "480 KB chosen until the answer is drawn", bar: 100 },
  stop_recording_to_answer_ms: { text: "recording of 3 s stopped until the answer is drawn", bar: 100 },
};
const LIMIT_BYTES = 150_000;

// The tests' own helpers, which read their settings when they are loaded.
process.env.BIOPHONY = program;
process.env.WEB_HOME = home;
const { browse, serve, writeWav } = await import("../crates/web/e2e/support.mjs");

if (!existsSync(home)) execFileSync(program, ["--home", home, "demo", "--out", join(scratch, "clips")], { stdio: "ignore" });
// Five seconds at 48 kHz and 16 bits: 480 KB of chirps over noise.
const clip = writeWav(join(scratch, "clip.wav"), chirps(48_000, 5), 48_000);
const microphone = writeWav(join(scratch, "microphone.wav"), chirps(44_100, 4), 44_100);

const load = loadavg()[0];
const server = await serve();
const browser = await browse({ wav: microphone });
const times = Object.fromEntries(Object.keys(ROWS).map((name) => [name, []]));
let weight = 0;
let requests = 0;
for (let round = -WARM_UP; round < ROUNDS; round += 1) {
  const page = await browser.page();
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  [weight, requests] = [0, 0];
  network.on("Network.loadingFinished", (event) => (weight += event.encodedDataLength));
  network.on("Network.requestWillBeSent", () => (requests += 1));
  await page.goto(server.address);
  await page.waitForFunction(() => performance.getEntriesByName("usable").length > 0);
  const ready = await page.evaluate(() => performance.getEntriesByName("usable")[0].startTime);
  await page.waitForLoadState("networkidle");
  // What listens to the network would be told of every byte that is timed below.
  await network.detach();

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
    times.page_ready_ms.push(ready);
    times.upload_480_kb_to_answer_ms.push(upload);
    times.stop_recording_to_answer_ms.push(stop);
  }
  await page.context().close();
}
await browser.close();
await server.stop();

const results = { made: `${new Date().toISOString().slice(0, 19)}Z`, machine: { cores: cpus().length, cpu: cpus()[0]?.model, load_average: load }, rounds: ROUNDS, first_load_bytes: weight, first_load_requests: requests };
for (const [name, { bar }] of Object.entries(ROWS)) {
  const sorted = times[name].sort((a, b) => a - b).map((ms) => Math.round(ms * 10) / 10);
  results[name] = { median: sorted[Math.floor(sorted.length / 2)], least: sorted[0], most: sorted.at(-1), bar };
}
if (out) writeFileSync(out, `${JSON.stringify(results, null, 2)}\n`);
process.stdout.write(description());
if (options.readme) {
  const [first, last] = ["<!-- browser results -->\n", "<!-- end of browser results -->\n"];
  const [before, rest] = readFileSync(options.readme, "utf8").split(first);
  writeFileSync(options.readme, before + first + description() + last + rest.split(last)[1]);
}

function description() {
  const rows = Object.entries(ROWS).map(([name, { text, bar }]) => {
    const { median, least, most } = results[name];
    return `| ${text} | ${median} ms | ${least} to ${most} | ${bar} ms | ${median <= bar ? "holds" : "MISSED"} |\n`;
  });
  const { made, machine } = results;
  return `${made}: ${machine.cpu}, ${machine.cores} cores; load average before ${load.toFixed(2)}; ${ROUNDS} rounds.\n\n`
    + `| wait | median | least to most | bar | |\n|---|---|---|---|---|\n${rows.join("")}`
    + `| first load | ${(weight / 1000).toFixed(1)} KB in ${requests} requests | | ${LIMIT_BYTES / 1000} KB | ${weight <= LIMIT_BYTES ? "holds" : "MISSED"} |\n`;
}

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

function chirps(rate, seconds) {
  let noise = 1;
  let phase = 0;
  return Float64Array.from({ length: rate * seconds }, (_, i) => {
    const time = i / rate;
    noise = (noise * 16_807) % 2_147_483_647;
    phase += (2 * Math.PI * (2000 + 1500 * Math.sin(2 * Math.PI * 3 * time))) / rate;
    const call = time % 0.5 < 0.2 ? 0.5 * Math.sin(phase) : 0;
    return 0.98 * (call + 0.02 * (noise / 2_147_483_647 - 0.5));
  });
}
