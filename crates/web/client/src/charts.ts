// Charts on the pages of runs, models and pipelines. Loaded by app.ts where a page
// has one; an element says by an attribute what it wants to be:
//
//   <div data-curves="/api/v1/runs/ID/curves">       learning curves, drawn anew while
//        what the server drew, for those without     the training runs; data-part="system"
//        scripts; it is replaced </div>              for what the machine did
//   <div data-confusion="URL or JSON">               {"classes":[…],"counts":[[…]]}
//   <dl data-bars="URL or JSON">                     [{"label","value","text"?},…]
//   <div data-calibration="URL or JSON">             [{"confidence","accuracy","count"},…]
import { drawBars } from "./charts/bars";
import { drawCalibration } from "./charts/calibration";
import { drawConfusion } from "./charts/confusion";
import { drawCurves } from "./charts/curves";

for (const host of document.querySelectorAll<HTMLElement>("[data-curves]")) void drawCurves(host);
const KINDS = { confusion: drawConfusion, bars: drawBars, calibration: drawCalibration } as const;
for (const [kind, draw] of Object.entries(KINDS)) {
  for (const host of document.querySelectorAll<HTMLElement>(`[data-${kind}]`)) {
    void given(host.dataset[kind] ?? "").then((data) => draw(host, data as never), (error: unknown) => console.warn(`data-${kind}:`, error));
  }
}

/** What an attribute holds: JSON, or the address of some. */
async function given(value: string): Promise<unknown> {
  if (/^\s*[[{]/.test(value)) return JSON.parse(value);
  const response = await fetch(value, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${value}: status ${response.status}`);
  return response.json();
}
