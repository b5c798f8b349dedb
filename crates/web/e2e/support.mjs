// What the browser tests share: a server on a scratch home, Chromium, WAV files.
// scripts/check_web.sh sets the environment:
//   BIOPHONY   the program           CHROMIUM  the browser (default /usr/bin/chromium)
//   WEB_HOME   a home with a model   WEB_CLIPS the recordings it was trained on
//   WEB_OUT    where screenshots go
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { connect, createServer } from "node:net";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { BIOPHONY = "biophony", CHROMIUM = "/usr/bin/chromium", WEB_HOME = "", WEB_CLIPS = "", WEB_OUT = "screenshots" } = process.env;
export const home = WEB_HOME;
/** What somebody who sorts by species and voice calls a class. */
export const LONG_LABEL = "Dendrocopos_major_great_spotted_woodpecker_drumming_and_calling";
/** The size of a phone. */
export const PHONE = { width: 390, height: 844 };
export const scratch = mkdtempSync(join(tmpdir(), "biophony-web-"));

/** Starts `biophony serve` on a free port; `stop` waits for its end. */
export async function serve({ home: where = home, args = [] } = {}) {
  const child = spawn(BIOPHONY, ["--home", where, "serve", "--addr", "127.0.0.1:0", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const address = await new Promise((resolve, reject) => {
    const hear = (data) => {
      said += data;
      const found = said.match(/https?:\/\/127\.0\.0\.1:\d+/);
      if (found) resolve(found[0]);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}:\n${said}`)));
    setTimeout(() => reject(new Error(`the server does not say where it listens:\n${said}`)), 60_000).unref();
  });
  return {
    address,
    async stop() {
      const ended = new Promise((resolve) => child.on("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Asks the server, or tells it something where there is a body, as an MLflow client would. */
export async function tell(server, path, body) {
  const told = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`${server.address}/api/2.0/mlflow/${path}`, told);
  const answer = await response.json();
  assert.ok(response.ok, JSON.stringify(answer));
  return answer;
}

/** Registers the champion's files once more; returns the version. */
export async function registerAgain(server) {
  const { model_version: champion } = await tell(server, "registered-models/alias?name=biophony&alias=champion");
  const { source, model_id, run_id } = champion;
  const { model_version: copy } = await tell(server, "model-versions/create", { name: "biophony", source, model_id, run_id });
  return copy.version;
}

/** Registers the champion's files once more and puts that version into use. */
export async function anotherVersion(server) {
  const version = await registerAgain(server);
  await tell(server, "registered-models/alias", { name: "biophony", alias: "champion", version });
  return version;
}

/** A run of an MLflow client that has begun; returns its identifier. */
export async function begunRun(server, run_name) {
  const { run } = await tell(server, "runs/create", { experiment_id: "0", run_name, start_time: Date.now() });
  return run.info.run_id;
}

/** Tells what a run has learned after an epoch. */
export const epoch = (server, run_id, step) => tell(server, "runs/log-batch", {
  run_id,
  metrics: Object.entries({ loss: 1 / step, val_loss: 1.25 / step, val_accuracy: 1 - 0.5 / step })
    .map(([key, value]) => ({ key, value, step, timestamp: Date.now() })),
});

/** A wire between a browser and the server, which can be cut, mended, held up and stopped up. */
export async function wire(address) {
  const ends = new Set();
  let isCut = false;
  const proxy = createServer((near) => {
    if (isCut) return near.destroy();
    const far = connect(Number(new URL(address).port), "127.0.0.1");
    const pair = { near, far };
    ends.add(pair);
    for (const [end, other] of [[near, far], [far, near]]) {
      end.on("error", () => other.destroy());
      end.on("close", () => {
        other.destroy();
        ends.delete(pair);
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${proxy.address().port}`,
    cut() {
      isCut = true;
      for (const { near } of ends) near.destroy();
    },
    mend() {
      isCut = false;
    },
    /** Keeps what comes for the server until the function that it returns delivers all of it at once. */
    hold() {
      const deliveries = [...ends].map(({ near, far }) => {
        const held = [];
        const keep = (bytes) => held.push(bytes);
        near.unpipe(far).on("data", keep).resume();
        return () => {
          near.off("data", keep);
          far.write(Buffer.concat(held));
          near.pipe(far);
        };
      });
      return () => deliveries.forEach((deliver) => deliver());
    },
    /** What was connected until now carries nothing more to the server. */
    stopUp() {
      for (const { near, far } of ends) {
        near.unpipe(far);
        near.pause();
      }
    },
    close() {
      this.cut();
      proxy.close();
    },
  };
}

/** A browser whose microphone plays `wav` round and round, or beeps. */
export async function browse({ wav, microphone = "allowed", args = [] } = {}) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      ...(microphone === "none" ? [] : ["--use-fake-device-for-media-stream"]),
      ...(microphone === "allowed" ? ["--use-fake-ui-for-media-stream"] : []),
      ...(wav ? [`--use-file-for-fake-audio-capture=${wav}`] : []),
      ...args,
    ],
  });
  const problems = [];
  return {
    browser,
    problems,
    async page({ width = 1280, height = 900, theme = "light", ...options } = {}) {
      const context = await browser.newContext({
        viewport: { width, height },
        colorScheme: theme,
        ...(microphone === "allowed" ? { permissions: ["microphone"] } : {}),
        ...options,
      });
      const page = await context.newPage();
      page.on("pageerror", (error) => problems.push(`page error: ${error.message}`));
      page.on("console", (message) => {
        // Refused uploads, and headers that only https pages heed, are told to the
        // console by the browser itself.
        if (message.type() === "error" && !/status of (4\d\d|503)|Cross-Origin-Opener-Policy/.test(message.text())) problems.push(message.text());
      });
      return page;
    },
    async close() {
      await browser.close();
      assert.deepEqual(problems, [], "the browser's console has no complaint");
    },
  };
}

export async function screenshot(page, name) {
  mkdirSync(WEB_OUT, { recursive: true });
  await page.screenshot({ path: join(WEB_OUT, `${name}.png`), fullPage: true });
}

/** Recordings of the demo collection, as paths. */
export function clips() {
  return walk(WEB_CLIPS).filter((path) => path.endsWith(".wav")).sort();
}

export function clipOf(label) {
  const found = clips().find((path) => path.includes(`/${label}/`));
  assert.ok(found, `the collection has a clip of ${label}`);
  return found;
}

function walk(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? walk(path) : [path];
  });
}

/** What the command line says of a file. */
export function cliAnswer(path) {
  const output = execFileSync(BIOPHONY, ["--home", home, "classify", path, "--json"], { encoding: "utf8" });
  return JSON.parse(output)[0];
}

/** Samples of a mono PCM WAV file of 16 or 24 bits. */
export function readWav(path) {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let format;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString("latin1", at, at + 4);
    const size = view.getUint32(at + 4, true);
    if (id === "fmt ") format = { channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true), bits: view.getUint16(at + 22, true) };
    if (id === "data") {
      assert.equal(format.channels, 1);
      const width = format.bits / 8;
      const samples = new Float64Array(Math.floor(size / width));
      for (let i = 0; i < samples.length; i += 1) {
        const place = at + 8 + i * width;
        samples[i] = format.bits === 16 ? view.getInt16(place, true) / 2 ** 15 : (view.getInt16(place + 1, true) * 256 + view.getUint8(place)) / 2 ** 23;
      }
      return { ...format, samples };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error(`${path} has no sound`);
}

/** Writes a mono 16-bit WAV file. */
export function writeWav(path, samples, rate) {
  const bytes = Buffer.alloc(44 + 2 * samples.length);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + 2 * samples.length, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(2 * rate, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((sample, i) => bytes.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), 44 + 2 * i));
  writeFileSync(path, bytes);
  return path;
}

/** The rate of Chromium's fake microphone. */
const MICROPHONE_HZ = 44_100;

/** A clip for the fake microphone: the whole sound at its rate, 16 bits. */
export function microphoneFile(clip) {
  const { samples, rate } = readWav(clip);
  const n = Math.floor((samples.length * MICROPHONE_HZ) / rate);
  const up = Float64Array.from({ length: n }, (_, i) => {
    const place = (i * rate) / MICROPHONE_HZ;
    const below = Math.floor(place);
    const share = place - below;
    return (samples[below] ?? 0) * (1 - share) + (samples[below + 1] ?? 0) * share;
  });
  return writeWav(join(scratch, "microphone.wav"), up, MICROPHONE_HZ);
}

/** By how much the page is wider than what is seen of it. */
export const sideways = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

export const heard = (page) => page.locator(".answer .verdict-name").innerText();
