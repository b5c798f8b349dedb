// How sure the model was against how often it was right: dots on the diagonal mean
// that its percentages can be believed.
import uPlot from "uplot";
import { h, replace } from "../ui/dom";
import { color, onThemeChange } from "../ui/theme";

export interface Bin {
  confidence: number;
  accuracy: number;
  count: number;
}

const SIZE = 260;

export function drawCalibration(host: HTMLElement, bins: Bin[]): void {
  const filled = bins.filter(({ count }) => count > 0).sort((a, b) => a.confidence - b.confidence);
  const plot = h("div", { "aria-hidden": "true" });
  const words = filled.map(({ confidence, accuracy, count }) => `of ${count} answers with about ${share(confidence)}, ${share(accuracy)} were right`).join("; ");
  replace(host, h("figure", { class: "chart" }, plot, h("p", { class: "visually-hidden" }, words)));
  let drawn: uPlot | undefined;
  const draw = (): void => {
    drawn?.destroy();
    const axis = { stroke: color("--ink-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}`, labelSize: 18, values: (_: uPlot, values: number[]) => values.map((value) => share(value)) };
    const steps = [...new Set([0, ...filled.map(({ confidence }) => confidence), 1])];
    drawn = new uPlot(
      {
        width: Math.max(220, Math.min(360, host.clientWidth)),
        height: SIZE,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
        axes: [{ ...axis, label: "how sure", labelFont: axis.font, size: 24 }, { ...axis, label: "right", labelFont: axis.font, size: 44 }],
        series: [
          {},
          { stroke: color("--ink-3"), dash: [4, 4], width: 1, points: { show: false } },
          { stroke: color("--third"), width: 2, points: { show: true, size: 8, fill: color("--third") }, spanGaps: true },
        ],
      },
      [steps, steps, steps.map((step) => filled.find(({ confidence }) => confidence === step)?.accuracy ?? null)],
      plot,
    );
  };
  onThemeChange(draw);
  draw();
}

function share(value: number): string {
  return `${Math.round(value * 100)} %`;
}
