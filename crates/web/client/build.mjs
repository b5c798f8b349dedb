// Builds the browser side into ../assets, which is committed so that `cargo
// build` needs no Node. Equal sources give equal bytes: names carry no hashes,
// versions are exact, and nothing of the machine goes in. `--check` builds in
// memory and compares with what is committed.
import { build } from "esbuild";
import { readFile, readdir, writeFile, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const assets = join(here, "../assets");
const LIMIT_BYTES = 150_000;
/** What the first load of the classify page fetches. */
const FIRST_LOAD = ["app.css", "theme.js", "app.js", "classify.js", "icon.svg"];

const options = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  write: false,
  outdir: "../assets",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  target: ["chrome123", "firefox128", "safari17.5"],
};

const results = await Promise.all([
  build({ ...options, format: "esm", entryPoints: { app: "src/app.ts", classify: "src/classify.ts", charts: "src/charts.ts" }, external: ["./charts.js"] }),
  build({ ...options, format: "iife", entryPoints: { theme: "src/theme.ts", "capture-worklet": "src/sound/capture-worklet.ts" } }),
  build({ ...options, entryPoints: { app: "css/app.css" } }),
]);

const built = new Map();
for (const file of results.flatMap((result) => result.outputFiles)) {
  built.set(basename(file.path), Buffer.from(file.contents));
}
built.set("icon.svg", await readFile(join(here, "src/icon.svg")));
built.set("third-party.txt", Buffer.from(await notices()));

const check = process.argv.includes("--check");
await mkdir(assets, { recursive: true });
const problems = [];
for (const [name, bytes] of built) {
  const path = join(assets, name);
  if (!check) await writeFile(path, bytes);
  else if (!bytes.equals(await readFile(path).catch(() => Buffer.alloc(0)))) problems.push(`${name} is not what its sources give`);
}
for (const name of await readdir(assets)) {
  if (!built.has(name)) problems.push(`${name} is in assets/ and not built from anything`);
}
const weight = FIRST_LOAD.reduce((sum, name) => sum + gzipSync(built.get(name), { level: 6 }).length, 0);
if (weight > LIMIT_BYTES) problems.push(`the first load weighs ${weight} bytes, more than ${LIMIT_BYTES}`);

for (const [name, bytes] of built) console.log(`${name.padEnd(20)} ${String(bytes.length).padStart(7)} bytes ${String(gzipSync(bytes, { level: 6 }).length).padStart(7)} gzip`);
console.log(`first load of the classify page: ${weight} bytes gzip`);
for (const problem of problems) console.error(`error: ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;

/** The licences of what is bundled, beside the bundle. */
async function notices() {
  const { dependencies } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
  let text = "These files hold code of the following projects.\n";
  for (const name of Object.keys(dependencies).sort()) {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const licence = await readFile(join(folder, "LICENSE"), "utf8");
    text += `\n${name} ${version} (${license}), in charts.js\n\n${licence.trim()}\n`;
  }
  return text;
}
