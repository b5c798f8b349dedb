// Files: one, fifty, broken ones, examples, feedback, history, tables to download.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LONG_LABEL, PHONE, browse, cliAnswer, clipOf, clips, heard, home, scratch, screenshot, serve, sideways, writeWav } from "./support.mjs";

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

const open = async (options) => {
  const page = await browser.page(options);
  await page.goto(server.address);
  return page;
};

/** What the head of the table says of all files. */
const isSaid = (page, words) => page.waitForFunction((words) => document.querySelector(".results-title [role=status]")?.textContent === words, words, { timeout: 120_000 });

test("one file is answered as the command line answers it, with windows on one time axis", async () => {
  const page = await open();
  const clip = clipOf("owl");
  await page.setInputFiles("#files", clip);
  await page.waitForSelector(".answer");
  const expected = cliAnswer(clip);
  const name = await heard(page);
  assert.ok(name.toLowerCase().startsWith(expected.accepted ? expected.label : "unknown"), `${name}, not ${expected.label}`);
  const shown = await page.locator(".probabilities .bars .num").allInnerTexts();
  assert.equal(shown.length, Math.min(5, expected.predictions.length));
  const first = Math.round(100 * expected.predictions[0].probability);
  assert.ok(shown[0].includes(String(Math.min(first, 99))) || shown[0] === "100 %", `${shown[0]} for ${first} %`);
  assert.match(await page.locator(".answer .facts").innerText(), /answered in .* ms by biophony/);
  const { blank, height } = await page.locator(".tv-surface canvas").evaluate((canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return { blank: new Set(new Uint32Array(pixels.buffer)).size < 40, height: canvas.height };
  });
  assert.ok(!blank && height > 200, "waveform and spectrogram are drawn");
  await page.context().close();
});

test("the clip plays from where its picture is clicked, and stops", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("gull"));
  await page.waitForSelector(".answer");
  const surface = page.locator(".tv-surface");
  const box = await surface.boundingBox();
  await surface.click({ position: { x: box.width / 2, y: 120 } });
  await page.waitForFunction(() => Number(document.querySelector(".tv-surface").getAttribute("aria-valuenow")) > 0.4);
  assert.match(await page.locator(".play").innerText(), /Pause/);
  await page.locator(".play").click();
  await page.waitForFunction(() => document.querySelector(".play").textContent.includes("Play"));
  await page.context().close();
});

test("fifty files make a table that is sorted, filtered and downloaded", async () => {
  const page = await open();
  const many = clips().slice(0, 49);
  const broken = join(scratch, "notes.wav");
  writeFileSync(broken, "these are words, not sound");
  await page.setInputFiles("#files", [...many, broken]);
  await page.waitForFunction(() => /50 files · 49 answered · 1 failed$/.test(document.querySelector(".results-title [role=status]")?.textContent ?? ""), undefined, { timeout: 60_000 });
  const rows = page.locator(".results-table tbody tr");
  assert.equal(await rows.count(), 50);
  const reason = await page.locator("td.failed").innerText();
  assert.ok(reason.length > 20 && !/undefined|\[object/.test(reason), reason);
  await screenshot(page, "upload-50");

  await page.getByRole("button", { name: "How sure" }).click();
  const shares = await page.locator(".results-table .sure .num").allInnerTexts();
  const numbers = shares.map((text) => Number(text.replace(/[^\d]/g, "")));
  assert.ok(numbers[0] >= numbers.at(-1), "the surest come first");
  assert.equal(await page.locator("th[aria-sort=descending]").count(), 1);

  await page.getByLabel("Filter by name").fill("notes");
  await page.waitForFunction(() => document.querySelectorAll(".results-table tbody tr").length === 1);
  await page.getByLabel("Filter by name").fill("");
  await page.getByLabel("Show").selectOption("failed");
  await page.waitForFunction(() => document.querySelectorAll(".results-table tbody tr").length === 1);
  await page.getByLabel("Show").selectOption("");

  await page.locator(".unfold[aria-expanded=false]").first().click();
  await page.waitForSelector("tr.unfolded .answer");
  assert.ok((await page.locator("tr.unfolded canvas").first().boundingBox()).width > 300);

  const [table] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
  const lines = readFileSync(await table.path(), "utf8").trim().split("\r\n");
  assert.equal(lines.length, 51);
  assert.match(lines[0], /^path,label,probability,accepted,/);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "JSON" }).click()]);
  const told = JSON.parse(readFileSync(await file.path(), "utf8"));
  assert.equal(told.length, 50);
  const one = told.find(({ path }) => path === many[0].split("/").at(-1));
  assert.equal(one.label, cliAnswer(many[0]).label);
  await page.context().close();
});

test("what the server does not take is told before it is sent", async () => {
  const page = await open();
  let asked = 0;
  page.on("request", (request) => (asked += request.url().includes("/api/v1/classify") ? 1 : 0));
  const { limits } = await (await fetch(`${server.address}/api/v1/model`)).json();
  const [large, empty] = ["a-night.wav", "empty.wav"].map((name) => join(scratch, name));
  writeFileSync(large, "");
  truncateSync(large, limits.max_bytes + 1);
  writeFileSync(empty, "");
  await page.setInputFiles("#files", [large, empty, clipOf("owl")]);
  await page.waitForFunction(() => /3 files · 1 answered · 2 failed$/.test(document.querySelector(".results-title [role=status]")?.textContent ?? ""));
  const words = await page.locator("td.failed").allInnerTexts();
  assert.match(words[0], /64\.0 MB, and this server takes at most 64\.0 MB/);
  assert.match(words[1], /is empty/);
  assert.equal(asked, 1);
  await screenshot(page, "upload-too-large");
  await page.context().close();
});

test("files can be dropped and pasted", async () => {
  const page = await open();
  const bytes = readFileSync(clipOf("frog")).toString("base64");
  for (const kind of ["drop", "paste"]) {
    await page.evaluate(([kind, bytes]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], `${kind}ped.wav`, { type: "audio/wav" }));
      const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
      document.body.dispatchEvent(event);
    }, [kind, bytes]);
    await page.waitForSelector(`.answer[aria-label="Answer for ${kind}ped.wav"]`);
  }
  await page.context().close();
});

test("waiting files can be cancelled and tried again", async () => {
  const page = await open();
  await page.route("**/api/v1/classify*", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 400));
    await route.continue().catch(() => undefined);
  });
  await page.setInputFiles("#files", clips().slice(0, 12));
  await page.waitForSelector("td.sending");
  await page.locator(".results-head").getByRole("button", { name: "Cancel" }).click();
  await page.waitForFunction(() => document.querySelectorAll("td.cancelled").length >= 9);
  await page.unroute("**/api/v1/classify*");
  await page.locator("td.cancelled button").first().click();
  await page.waitForFunction(() => document.querySelectorAll(".unfold[aria-expanded]").length >= 1);
  await page.context().close();
});

test("an answer that takes a while is waited for in words, and can be cancelled", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector(".answer");
  await page.route("**/api/v1/classify*", () => undefined); // never answered
  await page.setInputFiles("#files", clips()[0]);
  await page.waitForSelector(".sending");
  assert.equal(await page.locator(".answer").count(), 0, "the answer before is still shown");
  await page.locator(".sending").getByRole("button", { name: "Cancel" }).click();
  await page.waitForSelector("text=was cancelled");
  await page.unroute("**/api/v1/classify*");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.waitForSelector(".answer");
  await page.context().close();
});

test("a file that comes while another is asked about joins it in a table", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector(".answer");
  let hold;
  await page.route("**/api/v1/classify*", async (route) => {
    await hold;
    await route.continue();
  });
  // Once before anything is said of the first one, once after.
  for (const isSaid of [false, true]) {
    let release;
    hold = new Promise((resolve) => (release = resolve));
    await page.setInputFiles("#files", clipOf("gull"));
    if (isSaid) await page.waitForSelector(".sending");
    await page.setInputFiles("#files", clipOf("frog"));
    await page.getByText("2 files · 0 answered · 2 to go").waitFor();
    release();
    await page.getByText("2 files · 2 answered").waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
  }
  await page.context().close();
});

test("a busy server is asked again", async () => {
  const page = await open();
  let refused = 0;
  await page.route("**/api/v1/classify*", (route) => {
    if (refused >= 1) return route.continue();
    refused += 1;
    return route.fulfill({ status: 503, headers: { "Retry-After": "1" }, json: { error: { code: "busy", message: "too many at once" } } });
  });
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector(".answer");
  assert.equal(refused, 1);
  await page.context().close();
});

for (const n of [50, 300]) {
  test(`${n} files, some of several megabytes, are all answered`, async () => {
    const page = await open();
    const [small, large] = [clips(), writeWav(join(scratch, "minute.wav"), new Float64Array(60 * 48_000).map((_, i) => Math.sin(i / 9) / 2), 48_000)];
    await page.setInputFiles("#files", Array.from({ length: n }, (_, i) => (i % (n / 10) === 3 ? large : small[i % small.length])));
    await isSaid(page, `${n} files · ${n} answered`);
    assert.equal(await page.locator("td.failed, td.cancelled").count(), 0);
    await page.context().close();
  });
}

test("what a busy server refuses is asked again until it is answered, however often that is", async () => {
  const page = await open();
  const asked = new Map();
  await page.route("**/api/v1/classify*", (route) => {
    const name = new URL(route.request().url()).searchParams.get("filename");
    asked.set(name, (asked.get(name) ?? 0) + 1);
    if (asked.get(name) % 4 !== 0) return route.fulfill({ status: 503, headers: { "Retry-After": "0.1" }, json: { error: { code: "busy", message: "too much at once" } } });
    return route.continue();
  });
  await page.setInputFiles("#files", clips().slice(0, 12));
  await page.getByText("The server is busy; trying again…").first().waitFor();
  await isSaid(page, "12 files · 12 answered");
  assert.deepEqual([...new Set(asked.values())], [4]);
  await page.context().close();
});

test("what is no sound is not asked about again, and nobody is told to try", async () => {
  const page = await open();
  const words = join(scratch, "poem.wav");
  writeFileSync(words, "these are words, not sound");
  let asked = 0;
  page.on("request", (request) => (asked += request.url().includes("/api/v1/classify") ? 1 : 0));
  await page.setInputFiles("#files", words);
  const said = await page.locator("#results .callout").innerText();
  assert.match(said, /no sound that can be read/);
  assert.doesNotMatch(said, /`/);
  assert.equal(await page.getByRole("button", { name: /Try again/ }).count(), 0);
  assert.equal(asked, 1);
  await page.context().close();
});

test("a server that is away for a moment costs no file, and one that stays away is said in plain words", async () => {
  const page = await open();
  await page.route("**/api/v1/classify*", (route) => route.abort());
  await page.setInputFiles("#files", clips().slice(0, 6));
  await page.getByText("The server does not answer; trying again…").first().waitFor();
  await page.unroute("**/api/v1/classify*");
  await isSaid(page, "6 files · 6 answered");
  await page.reload();
  await page.route("**/api/v1/classify*", (route) => route.abort());
  await page.setInputFiles("#files", clips().slice(0, 6));
  await isSaid(page, "6 files · 0 answered · 6 failed");
  assert.match(await page.locator("td.failed").first().innerText(), /does not answer/);
  await page.unroute("**/api/v1/classify*");
  await page.getByRole("button", { name: "Try 6 again" }).click();
  await isSaid(page, "6 files · 6 answered");
  browser.problems.length = 0; // the browser itself tells of the aborted requests
  await page.context().close();
});

test("of a folder the recordings are taken, and what lies beside them is told", async () => {
  const page = await open();
  const folder = join(scratch, "card");
  mkdirSync(join(folder, "night"), { recursive: true });
  copyFileSync(clipOf("owl"), join(folder, "night", "a.wav"));
  copyFileSync(clipOf("frog"), join(folder, "b.wav"));
  for (const name of ["notes.txt", "map.png", ".hidden.wav"]) writeFileSync(join(folder, name), "no sound");
  await page.setInputFiles("#folder", folder);
  await page.getByText("2 files of the folder are no recordings and were left out.").waitFor();
  await isSaid(page, "2 files · 2 answered");
  const empty = join(scratch, "empty");
  mkdirSync(empty);
  writeFileSync(join(empty, "notes.txt"), "no sound");
  await page.setInputFiles("#folder", empty);
  await page.getByText("There are no recordings in this folder.").waitFor();
  await page.context().close();
});

test("an answer below the threshold is shown as unknown, with what is closest", async () => {
  const page = await open();
  const response = await fetch(`${server.address}/api/v1/classify?filename=owl.wav&detail=full`, { method: "POST", body: readFileSync(clipOf("owl")) });
  const answer = await response.json();
  answer.accepted = false;
  answer.model.threshold = 0.999;
  await page.route("**/api/v1/classify*", (route) => route.fulfill({ json: answer }));
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector(".answer");
  assert.equal(await heard(page), "Unknown");
  assert.match(await page.locator(".verdict-why").innerText(), /Closest is .* answers from/);
  await screenshot(page, "unknown");
  await page.context().close();
});

test("history keeps answers and clips in this browser, and forgets them", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("cricket"));
  await page.waitForSelector(".answer");
  await page.waitForSelector("#history .kept");
  await page.reload();
  await page.locator("#history .kept").first().click();
  await page.waitForSelector(".answer");
  assert.ok(await page.locator(".play").isEnabled(), "the clip was kept");
  // A table of answers is not lost to one from earlier, which joins it.
  await page.reload();
  await page.setInputFiles("#files", clips().filter((clip) => clip !== clipOf("cricket")).slice(0, 5));
  await isSaid(page, "5 files · 5 answered");
  await page.locator("#history .kept", { hasText: clipOf("cricket").split("/").at(-1) }).click();
  await page.waitForSelector("tr.unfolded .answer");
  await isSaid(page, "6 files · 6 answered");
  // What cannot be taken back is asked about first.
  const clear = page.locator(".results-head button").last();
  await clear.click();
  assert.equal(await clear.innerText(), "Really clear 6?");
  await clear.click();
  await page.waitForSelector("#results", { state: "hidden" });
  const forget = page.locator("#history .section-head button");
  await forget.click();
  assert.match(await forget.innerText(), /Really forget all \d+\?/);
  await forget.click();
  await page.waitForSelector("#history", { state: "hidden" });
  await page.context().close();
});

test("classes with long names stay in the page, on a desk and in a hand", async () => {
  const response = await fetch(`${server.address}/api/v1/classify?filename=owl.wav&detail=full`, { method: "POST", body: readFileSync(clipOf("owl")) });
  const answer = await response.json();
  const names = answer.model.labels.map((_, number) => `${LONG_LABEL}_${number}`);
  for (const scored of [answer, ...answer.windows]) scored.predictions.forEach((one, number) => (one.label = names[number]));
  answer.model.labels = names;
  const unbroken = "a".repeat(80);
  for (const size of [{}, PHONE]) {
    const page = await browser.page(size);
    await page.route("**/api/v1/examples", (route) => route.fulfill({ json: { examples: names.map((label, number) => ({ name: `${number}.wav`, label, source: "A test" })) } }));
    await page.route("**/api/v1/classify*", (route) => route.fulfill({ json: answer }));
    await page.route("**/api/v1/feedback", (route) => route.fulfill({ status: 201, json: { path: "a.wav" } }));
    await page.goto(server.address);
    await page.waitForSelector("#examples button");
    await page.locator("#model-line").evaluate((line, unbroken) => line.append(unbroken), unbroken);
    assert.ok((await sideways(page)) <= 0, "examples");
    await page.setInputFiles("#files", clipOf("owl"));
    await page.waitForSelector(".answer");
    const gaps = await page.locator(".probabilities .bars > div").evaluateAll((rows) => rows.map((row) => {
      const [bar, share] = [row.querySelector(".bar"), row.querySelector(".num")].map((part) => part.getBoundingClientRect());
      return share.left - bar.right;
    }));
    assert.ok(gaps.every((gap) => gap > 5), `bars end before their shares: ${gaps}`);
    assert.ok((await sideways(page)) <= 0, "the answer");
    await contradict(page, unbroken);
    assert.ok((await sideways(page)) <= 0, "what was stored");
    await screenshot(page, `long-names-${size === PHONE ? "phone" : "desk"}`);
    await page.context().close();
  }
});

test("on a phone a long file name leaves what was heard its line", async () => {
  const page = await open(PHONE);
  const long = join(scratch, "2026-05-14_ridge-station-07_north-microphone_dawn-chorus_0431.wav");
  copyFileSync(clipOf("woodpecker"), long);
  await page.setInputFiles("#files", [long, clipOf("owl")]);
  await isSaid(page, "2 files · 2 answered");
  const lines = await page.locator(".results-table td:nth-child(2)").first().evaluate((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell.firstChild);
    return { text: cell.innerText, n: range.getClientRects().length };
  });
  assert.deepEqual(lines, { text: "Woodpecker", n: 1 });
  assert.ok((await sideways(page)) <= 0);
  await screenshot(page, "table-phone");
  await page.context().close();
});

/** What this browser remembers, as it keeps it. */
const remembered = (page) => page.evaluate(() => new Promise((resolve) => {
  const opening = indexedDB.open("biophony");
  opening.onsuccess = () => {
    const all = opening.result.transaction("answers").objectStore("answers").getAll();
    all.onsuccess = () => resolve(all.result.map(({ id, at, verdict }) => ({ id, at, verdict })));
  };
}));

const contradict = async (page, label) => {
  await page.getByRole("button", { name: /Wrong, it is|It is something else/ }).click();
  await page.getByLabel("What is it really?").fill(label);
  await page.getByRole("button", { name: "Store" }).click();
  await page.waitForSelector(".thanks");
};

test("history says in words what was said to an answer, and when that answer was", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("woodpecker"));
  await page.waitForSelector("#history .kept");
  assert.ok((await heard(page)).startsWith("Woodpecker"));
  const [before] = await remembered(page);
  await page.reload();
  await page.locator("#history .kept").click();
  await contradict(page, "frog");
  await page.locator("#history .kept", { hasText: "You said: Frog" }).waitFor();
  assert.equal(await page.locator("#history .kept-verdict").count(), 0, "nothing looks confirmed");
  assert.deepEqual(await remembered(page), [{ ...before, verdict: "frog" }]);
  await page.context().close();
});

test("what was forgotten is not remembered again by what is said to it", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("woodpecker"));
  await page.waitForSelector("#history .kept");
  const forget = page.locator("#history .section-head button");
  await forget.click();
  await forget.click();
  await page.waitForSelector("#history", { state: "hidden" });
  await contradict(page, "frog");
  // What comes next is remembered: by then the one before would have been.
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector("#history .kept");
  assert.deepEqual((await remembered(page)).map(({ verdict }) => verdict), [undefined]);
  await page.context().close();
});

test("of two rows that are unfolded at once the last one stays", async () => {
  const page = await open();
  await page.setInputFiles("#files", clips().slice(0, 7));
  await isSaid(page, "7 files · 7 answered");
  await page.route("**/api/v1/classify*", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await route.continue();
  });
  const rows = page.locator(".unfold");
  await rows.nth(1).click();
  await rows.nth(4).click();
  await page.waitForSelector("tr.unfolded .answer");
  await page.waitForTimeout(700);
  assert.deepEqual(await rows.evaluateAll((rows) => rows.map((row) => row.getAttribute("aria-expanded"))), ["false", "false", "false", "false", "true", "false", "false"]);
  assert.equal(await page.locator("tr.unfolded").count(), 1);
  await page.context().close();
});

test("the focus stays with a file that is cancelled and tried again by keyboard", async () => {
  const page = await open();
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.innerText);
  const isFocused = (words) => page.waitForFunction((words) => (document.activeElement.id || document.activeElement.innerText) === words, words);
  await page.route("**/api/v1/classify*", () => undefined); // never answered
  await page.setInputFiles("#files", clipOf("owl"));
  await page.locator(".sending button").focus();
  await page.keyboard.press("Enter");
  await isFocused("Try again");
  await page.keyboard.press("Enter");
  await isFocused("Cancel");
  await page.keyboard.press("Enter");
  await isFocused("Try again");
  await page.unroute("**/api/v1/classify*");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".answer");
  assert.equal(await focused(), "results");

  // In a table likewise.
  await page.route("**/api/v1/classify*", () => undefined);
  await page.setInputFiles("#files", clips().slice(0, 3));
  await page.waitForSelector("td.sending");
  await page.locator(".results-head").getByRole("button", { name: "Cancel" }).focus();
  await page.keyboard.press("Enter");
  await isFocused("Try 3 again");
  await page.keyboard.press("Enter");
  await isFocused("Cancel");
  await page.keyboard.press("Enter");
  await isFocused("Try 3 again");
  await page.unroute("**/api/v1/classify*");
  await page.locator("td.cancelled button").first().focus();
  await page.keyboard.press("Enter");
  await isFocused(clips()[0].split("/").at(-1));
  await page.context().close();
});

test("an answer that had to be waited for is brought into view, unless people went elsewhere", async () => {
  const page = await browser.page({ width: 390, height: 600, reducedMotion: "reduce" });
  for (const wentElsewhere of [false, true]) {
    await page.goto(server.address);
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await page.route("**/api/v1/classify*", async (route) => {
      await held;
      await route.continue();
    });
    await page.setInputFiles("#files", clipOf("owl"));
    await page.waitForSelector(".sending");
    if (wentElsewhere) {
      await page.mouse.move(200, 300);
      await page.mouse.wheel(0, -2000);
      await page.waitForFunction(() => scrollY === 0);
    }
    release();
    await page.waitForSelector(".answer");
    const top = await page.locator("#results").evaluate((results) => results.getBoundingClientRect().top);
    assert.equal(top > 300, wentElsewhere, `the answer begins at ${top}`);
    await page.unroute("**/api/v1/classify*");
  }
  await page.context().close();
});

test("an example clip can be tried where there is no recording at hand", async () => {
  const page = await open();
  const button = page.locator("#examples button").first();
  const label = (await button.innerText()).trim();
  await button.click();
  await page.waitForSelector(".answer");
  assert.ok(label.length > 0);
  await page.context().close();
});

test("correct, or wrong and what it is: the clip becomes a reviewed example", async () => {
  const page = await open();
  await page.setInputFiles("#files", clipOf("owl"));
  await page.waitForSelector(".answer");
  const best = (await page.locator(".probabilities dt").first().innerText()).toLowerCase();
  await page.getByRole("button", { name: "Correct" }).click();
  await page.waitForSelector(".thanks");
  assert.equal(readdirSync(join(home, "reviewed", best)).length, 1);

  await page.setInputFiles("#files", clipOf("gull"));
  await page.waitForSelector(`.answer[aria-label$="${clipOf("gull").split("/").at(-1)}"]`);
  await page.getByRole("button", { name: /Wrong, it is/ }).click();
  await page.getByLabel("What is it really?").fill("Heron");
  await page.getByRole("button", { name: "Store" }).click();
  await page.waitForSelector(".thanks");
  await screenshot(page, "feedback");
  const folder = ["Heron", "heron"].find((name) => existsSync(join(home, "reviewed", name)));
  assert.equal(readdirSync(join(home, "reviewed", folder)).length, 1);
  await page.context().close();
});
