// The drawing of the chart: ECharts with only the parts that a line needs, loaded on demand.
import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { init, use, type EChartsType } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { amount, bucket, change, compact, metricExact, tick } from "./format.ts";
import { COUNTS, type Series, growth } from "./series.ts";
import { t } from "./texts.ts";
import type { Metric } from "./view.ts";

use([BarChart, LineChart, GridComponent, TooltipComponent, CanvasRenderer]);

export type Drawing = EChartsType;

export function createDrawing(element: HTMLElement): Drawing {
  return init(element, undefined, { renderer: "canvas" });
}

function colours(element: HTMLElement) {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    accent: of("--accent"),
    area: of("--area"),
    earlier: of("--earlier"),
    warm: of("--warm"),
    line: of("--line"),
    ink2: of("--ink-2"),
    raised: of("--raised"),
    font: style.fontFamily,
  };
}

function line(text: string, className: string): HTMLElement {
  const element = document.createElement("div");
  element.className = className;
  element.textContent = text;
  return element;
}

/** What the tooltip says about one interval; shared with the reader of the screen. */
export function describe(series: Series, metric: Metric, index: number): string[] {
  const point = series.points[index];
  if (!point) return [];
  const unfinished = index === series.running ? ` (${t.chart.unfinished})` : "";
  const lines = [
    bucket(point.label, series.interval) + unfinished,
    `${t.metric[metric].name} ${metricExact(metric, point.value, undefined, series.currency)}`,
  ];
  if (point.earlier) {
    lines.push(
      `${bucket(point.earlier.label, series.interval)}: ${metricExact(metric, point.earlier.value, undefined, series.currency)}`,
    );
    const grown =
      index === series.running ? null : growth(metric, point.value, point.earlier.value);
    if (grown !== null) lines.push(change(metric, grown).text);
  }
  const earned = series.revenue?.[index];
  if (earned && metric !== "revenue" && series.currency)
    lines.push(`${t.metric.revenue.name} ${amount(earned, series.currency)}`);
  for (const note of series.notes.get(index) ?? []) lines.push(note.note);
  if (series.restarted.has(index)) lines.push(t.chart.restartedLong);
  return lines;
}

function tooltip(series: Series, metric: Metric, index: number): HTMLElement {
  const box = document.createElement("div");
  box.className = "chart-tip";
  const classes = ["date", "value", "earlier", "change"];
  describe(series, metric, index).forEach((text, at) => {
    const last = text === t.chart.restartedLong;
    box.append(line(text, last ? "restart" : (classes[at] ?? "")));
  });
  return box;
}

export function draw(drawing: Drawing, series: Series, metric: Metric): void {
  const element = drawing.getDom();
  const colour = colours(element);
  const { points, running, interval, restarted } = series;
  const years = new Set(points.map((point) => point.label.slice(0, 4))).size > 1;
  const counts = COUNTS.includes(metric);
  const lone = points.filter((point) => point.value !== null).length === 1;
  const main = points.map((point, index) => (index === running ? null : point.value));
  const tail = points.map((point, index) =>
    running >= 0 && (index === running || index === running - 1) ? point.value : null,
  );
  const shared = {
    type: "line" as const,
    silent: true,
    connectNulls: true,
    symbol: "circle",
    symbolSize: 6,
  };
  drawing.setOption(
    {
      animation: false,
      textStyle: { fontFamily: colour.font },
      grid: {
        left: 4,
        right: 16,
        top: 12,
        bottom: 2,
        outerBoundsMode: "same",
        outerBoundsContain: "axisLabel",
      },
      xAxis: {
        type: "category",
        boundaryGap: lone || (metric !== "revenue" && Boolean(series.revenue)),
        data: points.map((_, index) => String(index)),
        axisLine: { lineStyle: { color: colour.line } },
        axisTick: { show: false },
        axisLabel: {
          color: colour.ink2,
          fontSize: 12,
          margin: 10,
          hideOverlap: true,
          formatter: (index: string) => tick(points[Number(index)]?.label ?? "", interval, years),
        },
      },
      yAxis: [
        {
          type: "value",
          min: 0,
          ...scale(series, metric),
          splitNumber: 3,
          splitLine: { lineStyle: { color: colour.line } },
          axisLabel: {
            color: colour.ink2,
            fontSize: 12,
            formatter: (value: number) =>
              metric === "revenue" && series.currency
                ? amount(value, series.currency, true).replace(/[.,]00(?=\D|$)/, "")
                : counts
                  ? compact(value)
                  : metricExact(metric, value).replace(/[.,]00$/, ""),
          },
        },
        earnings(series, metric),
      ],
      tooltip: {
        trigger: "axis",
        confine: true,
        transitionDuration: 0,
        padding: 0,
        borderWidth: 0,
        backgroundColor: "transparent",
        extraCssText: "box-shadow:none",
        axisPointer: { type: "line", lineStyle: { color: colour.ink2, width: 1, type: "solid" } },
        formatter: (items: unknown) => {
          const first = (items as { dataIndex: number }[])[0];
          return first ? tooltip(series, metric, first.dataIndex) : "";
        },
      },
      series: [
        {
          ...shared,
          name: t.chart.earlier,
          data: points.map((point) => point.earlier?.value ?? null),
          lineStyle: { color: colour.earlier, width: 1.5, type: [4, 4] },
          itemStyle: { color: colour.earlier },
          showSymbol: false,
          z: 2,
        },
        {
          ...shared,
          name: t.metric[metric].name,
          data: main,
          lineStyle: { color: colour.accent, width: 2 },
          itemStyle: { color: colour.accent },
          areaStyle: { color: colour.area },
          showSymbol: lone,
          z: 4,
        },
        {
          ...shared,
          name: t.chart.unfinished,
          data: tail,
          lineStyle: { color: colour.accent, width: 2, type: [3, 4] },
          itemStyle: { color: colour.accent },
          areaStyle: { color: colour.area, opacity: 0.5 },
          showSymbol: lone && running >= 0,
          z: 3,
        },
        {
          // A mark on the axis, no line.
          ...shared,
          name: t.chart.restarted,
          data: points.map((_, index) => (restarted.has(index) ? 0 : null)),
          symbol: "triangle",
          symbolSize: [9, 8],
          symbolOffset: [0, -4],
          showSymbol: true,
          showAllSymbol: true,
          connectNulls: false,
          clip: false,
          lineStyle: { width: 0 },
          itemStyle: { color: colour.ink2 },
          z: 5,
        },
        {
          type: "bar" as const,
          silent: true,
          name: t.metric.revenue.name,
          yAxisIndex: 1,
          data: metric === "revenue" ? [] : (series.revenue ?? []),
          barMaxWidth: 14,
          itemStyle: { color: colour.warm, opacity: 0.55, borderRadius: [2, 2, 0, 0] },
          z: 1,
        },
      ],
    },
    { notMerge: true },
  );
}

/** Bars take this part of the height at most, so that lines stay readable. */
const BARS_HEIGHT = 0.45;

/** The axis of the bars, which is not drawn: the amounts stand in the tooltip and the table. */
function earnings(series: Series, metric: Metric): object {
  const most = Math.max(0, ...(series.revenue ?? []).map((value) => value ?? 0));
  const max = metric === "revenue" || most === 0 ? 1 : most / BARS_HEIGHT;
  return { type: "value", show: false, min: 0, max, splitLine: { show: false } };
}

/** Horizontal place of an interval, pixels from the left of the drawing. */
export function placeOf(drawing: Drawing, index: number): number {
  const at: unknown = drawing.convertToPixel({ xAxisIndex: 0 }, index);
  return typeof at === "number" ? at : Number((at as number[])[0]);
}

/** Seconds between grid lines that people count in. */
const DURATION_STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const GRID_LINES = 4;

/** Grid lines at whole quarters of a percent scale, and at round minutes of a duration. */
function scale(series: Series, metric: Metric): object {
  if (metric === "bounce_rate") return { max: 100, interval: 25 };
  if (metric !== "visit_duration") return metric === "views_per_visit" ? {} : { minInterval: 1 };
  const values = series.points.flatMap((p) => [p.value ?? 0, p.earlier?.value ?? 0]);
  const most = Math.max(...values, 1);
  const step = DURATION_STEPS.find((seconds) => most / seconds <= GRID_LINES);
  return step ? { interval: step, max: Math.ceil(most / step) * step } : {};
}

/** The interval under a horizontal position, or nothing outside of the drawing. */
export function indexAt(drawing: Drawing, x: number, length: number): number | undefined {
  const index: unknown = drawing.convertFromPixel({ xAxisIndex: 0 }, x);
  const value = Array.isArray(index) ? (index[0] as unknown) : index;
  if (typeof value !== "number" || Number.isNaN(value)) return undefined;
  return Math.max(0, Math.min(length - 1, Math.round(value)));
}
