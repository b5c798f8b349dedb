// Learning curves by uPlot: one small chart per subject, side by side, with a
// common cursor; asked for again every few seconds while the run is alive.
import uPlot from "uplot";
import { h, replace } from "../ui/dom";
import { color, onThemeChange } from "../ui/theme";
import { toast } from "../ui/toast";

interface Series {
  name: string;
  points: [number, number][];
}

interface Chart {
  title: string;
  x: string;
  series: Series[];
}

interface Curves {
  is_live: boolean;
  charts: Chart[];
  system?: Chart[];
}

const HEIGHT = 230;
const LIVE_MS = 2000;
const LINES = ["--accent", "--second", "--third", "--bad", "--warn", "--ink-2"];

export async function drawCurves(host: HTMLElement): Promise<void> {
  const address = host.dataset["curves"] ?? "";
  const part = host.dataset["part"] === "system" ? "system" : "charts";
  const cursor = `curves-${address}`;
  let panels: Panel[] = [];
  let wasLive = false;

  const show = ({ charts, is_live }: { charts: Chart[]; is_live: boolean }): void => {
    const same = panels.length === charts.length && panels.every((panel, number) => panel.fits(charts[number]));
    if (same) panels.forEach((panel, number) => panel.update(charts[number]!, is_live));
    else {
      for (const panel of panels) panel.destroy();
      panels = charts.map((chart) => new Panel(chart, cursor, is_live));
      host.classList.add("charts");
      replace(host, panels.map((panel) => panel.element));
      for (const panel of panels) panel.draw();
    }
  };

  const look = async (): Promise<void> => {
    try {
      if (!document.hidden) {
        const response = await fetch(address, { headers: { Accept: "application/json" } });
        if (!response.ok) throw new Error(`status ${response.status}`);
        const curves = (await response.json()) as Curves;
        const charts = curves[part] ?? [];
        if (charts.length > 0) show({ charts, is_live: curves.is_live });
        if (wasLive && !curves.is_live) {
          toast("The run has ended.", { href: location.href, text: "Show its figures" });
          return;
        }
        wasLive = curves.is_live;
        if (!wasLive) return;
      }
    } catch (error) {
      console.warn(`${address}:`, error);
      if (!wasLive) return;
    }
    setTimeout(() => void look(), LIVE_MS);
  };

  onThemeChange(() => {
    for (const panel of panels) panel.draw();
  });
  await look();
}

class Panel {
  readonly element: HTMLElement;
  readonly #plot = h("div");
  readonly #live = h("span", { class: "live-mark" }, "live");
  readonly #values: HTMLElement[];
  #chart: Chart;
  #uplot: uPlot | undefined;

  constructor(chart: Chart, readonly cursor: string, live: boolean) {
    this.#chart = chart;
    this.#values = chart.series.map(() => h("output"));
    this.#live.hidden = !live;
    const legend = h("ul", { class: "legend" }, chart.series.map((series, number) => {
      const swatch = h("span", { class: `swatch ${isTraining(series.name, chart) ? "dashed" : ""}` });
      swatch.style.setProperty("--swatch", `var(${tint(number)})`);
      return h("li", {}, swatch, series.name, this.#values[number]);
    }));
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, h("b", {}, chart.title), this.#live), this.#plot, legend);
    new ResizeObserver(() => {
      const width = this.#plot.clientWidth;
      if (this.#uplot && width > 0 && width !== this.#uplot.width) this.#uplot.setSize({ width, height: HEIGHT });
    }).observe(this.element);
    this.#showValues();
  }

  fits(chart: Chart | undefined): boolean {
    return chart?.title === this.#chart.title && chart.series.map((one) => one.name).join("\n") === this.#chart.series.map((one) => one.name).join("\n");
  }

  update(chart: Chart, live: boolean): void {
    this.#chart = chart;
    this.#live.hidden = !live;
    this.#uplot?.setData(table(chart));
    this.#showValues();
  }

  destroy(): void {
    this.#uplot?.destroy();
  }

  draw(): void {
    this.#uplot?.destroy();
    const axis = { stroke: color("--ink-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` };
    this.#uplot = new uPlot(
      {
        width: Math.max(200, this.#plot.clientWidth),
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: this.cursor }, y: false, points: { size: 7 } },
        scales: { x: { time: false } },
        axes: [
          { ...axis, label: this.#chart.x, labelSize: 18, labelFont: axis.font, size: 24, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] },
          { ...axis, size: 48, values: (_, marks) => marks.map((mark) => String(Number(mark.toPrecision(4)))) },
        ],
        series: [
          {},
          ...this.#chart.series.map((series, number) => ({
            label: series.name,
            stroke: color(tint(number)),
            width: 1.75,
            spanGaps: true,
            points: { show: series.points.length < 3, size: 6 },
            ...(isTraining(series.name, this.#chart) ? { dash: [6, 4] } : {}),
          })),
        ],
        hooks: { setCursor: [() => this.#showValues()] },
      },
      table(this.#chart),
      this.#plot,
    );
    // Said in words beside the chart, so the drawing itself is skipped by readers.
    this.#plot.setAttribute("aria-hidden", "true");
  }

  /** Values under the cursor, or the last ones. */
  #showValues(): void {
    const at = this.#uplot?.cursor.idx;
    this.#chart.series.forEach((series, number) => {
      const column = this.#uplot?.data[number + 1];
      const value = typeof at === "number" ? column?.[at] : series.points.at(-1)?.[1];
      const output = this.#values[number];
      if (output) output.textContent = typeof value === "number" ? figure(value) : "–";
    });
  }
}

/** uPlot wants one common column of steps and a column of values per line. */
function table(chart: Chart): uPlot.AlignedData {
  const steps = [...new Set(chart.series.flatMap((series) => series.points.map(([x]) => x)))].sort((a, b) => a - b);
  const lines = chart.series.map((series) => {
    const values = new Map(series.points);
    return steps.map((step) => {
      const value = values.get(step);
      return value === undefined || !Number.isFinite(value) ? null : value;
    });
  });
  return [steps, ...lines];
}

/** Training and validation are told apart by more than a color: `loss` beside `val_loss`. */
function isTraining(name: string, chart: Chart): boolean {
  return /(^|[_./ ])train/.test(name) || chart.series.some((other) => other.name === `val_${name}`);
}

function tint(number: number): string {
  return LINES[number % LINES.length] ?? "--accent";
}

function figure(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(1);
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}
