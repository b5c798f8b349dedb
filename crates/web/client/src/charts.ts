// Charts on the pages of runs. Loaded by app.ts where a page has one; an element says
// by an attribute what it wants to be:
//
//   <div data-curves="/api/v1/runs/ID/curves">       learning curves, drawn anew while
//        what the server drew, for those without     the training runs; data-part="system"
//        scripts; it is replaced </div>              for what the machine did
//
// Confusion matrices and bars are the server's: they need no script.
import { drawCurves } from "./charts/curves";

function drawAll(within: ParentNode): void {
  for (const host of within.querySelectorAll<HTMLElement>("[data-curves]")) void drawCurves(host);
}

drawAll(document);
document.addEventListener("fresh", (event) => drawAll(event.target as Element));
