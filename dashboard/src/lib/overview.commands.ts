// What the Overview offers to the palette.
import type { Command } from "./commands.svelte.ts";
import { PERIOD_KEY, type Preset, PRESETS } from "./dates.ts";
import type { Segment } from "./api/client.ts";
import { t } from "./texts.ts";
import {
  BOTS,
  COMPARISONS,
  GROUPS,
  GROUP_NAMES,
  type Metric,
  type View,
  PANELS,
  TABS,
} from "./view.ts";

export interface Acts {
  patch: (part: Partial<View>) => void;
  period: (preset: Preset) => void;
  /** Cards that are there. */
  metrics: readonly Metric[];
  segments: readonly Segment[];
  tabs: () => View["tabs"];
  /** Commands with keys that are no choice of a view. */
  others: Command[];
}

/** Single keys of periods, small. */
export const PERIOD_KEYS: Record<string, Preset> = Object.fromEntries(
  Object.entries(PERIOD_KEY).map(([preset, key]) => [key.toLowerCase(), preset as Preset]),
);

function panels(acts: Acts): Command[] {
  return GROUP_NAMES.flatMap((group) =>
    PANELS.filter((panel) => (GROUPS[group] as readonly string[]).includes(panel)).flatMap(
      (panel) =>
        TABS[panel].map((tab) => ({
          group: t.overview.palette.panel,
          name: `${t.panel[panel]}: ${t.panel.tabs[tab]}`,
          run: () => acts.patch({ group, details: panel, tabs: { ...acts.tabs(), [panel]: tab } }),
        })),
    ),
  );
}

export function overviewCommands(acts: Acts): Command[] {
  const { palette } = t.overview;
  return [
    ...acts.others,
    ...PRESETS.map((preset) => ({
      group: palette.period,
      name: t.period[preset],
      key: PERIOD_KEY[preset],
      run: () => acts.period(preset),
    })),
    ...acts.metrics.map((metric) => ({
      group: palette.show,
      name: t.metric[metric].name,
      run: () => acts.patch({ metric }),
    })),
    ...acts.segments.map((segment) => ({
      group: palette.segment,
      name: segment.name,
      run: () => acts.patch({ segment: segment.id }),
    })),
    ...COMPARISONS.map((comparison) => ({
      group: t.comparison.label,
      name: t.comparison[comparison],
      run: () => acts.patch({ comparison }),
    })),
    ...BOTS.map((bots) => ({
      group: t.bots.label,
      name: t.bots[bots],
      run: () => acts.patch({ bots }),
    })),
    ...panels(acts),
  ];
}
