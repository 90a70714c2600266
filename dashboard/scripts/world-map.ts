// The map of the world, drawn at build time.
//
// Land shapes: Natural Earth (public domain) as packaged by `world-atlas` (ISC licence).
// The result is one SVG path per country, keyed by its ISO 3166-1 alpha-2 code, in Equal Earth
// projection. Countries too small for the 1:110 million shapes become dots at their centre.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { geoEqualEarth, geoPath, type GeoProjection } from "d3-geo";
import { feature } from "topojson-client";
import type { Feature, FeatureCollection, Geometry } from "geojson";
import type { Topology, GeometryCollection } from "topojson-specification";
import type { Plugin } from "vite";

const WIDTH = 640;
const HEIGHT = 300;
/** Below this area, in square units of the drawing, a shape cannot be hit with a pointer. */
const SMALLEST_AREA = 3;
const ANTARCTICA = "AQ";

type Countries = Topology<{ countries: GeometryCollection<{ name: string }> }>;
export interface WorldMap {
  width: number;
  height: number;
  shapes: Record<string, string>;
  dots: Record<string, [number, number]>;
}

const require = createRequire(import.meta.url);

function countries(scale: "110m" | "50m"): FeatureCollection<Geometry, { name: string }> {
  const file = require.resolve(`world-atlas/countries-${scale}.json`);
  const topology = JSON.parse(readFileSync(file, "utf8")) as Countries;
  return feature(topology, topology.objects.countries);
}

function alpha2(country: Feature<Geometry, { name: string }>): string | undefined {
  const codes = require("i18n-iso-countries") as {
    numericToAlpha2(id: string): string | undefined;
  };
  if (country.properties.name === "Kosovo") return "XK";
  return country.id === undefined ? undefined : codes.numericToAlpha2(String(country.id));
}

function projection(land: FeatureCollection): GeoProjection {
  const inhabited = {
    ...land,
    features: land.features.filter((f) => f.properties?.["name"] !== "Antarctica"),
  };
  return geoEqualEarth()
    .rotate([-11, 0])
    .fitExtent(
      [
        [2, 2],
        [WIDTH - 2, HEIGHT - 2],
      ],
      inhabited,
    );
}

export function drawWorld(): WorldMap {
  const coarse = countries("110m");
  const draw = geoPath(projection(coarse)).digits(1);
  const world: WorldMap = { width: WIDTH, height: HEIGHT, shapes: {}, dots: {} };
  for (const country of coarse.features) {
    const code = alpha2(country);
    const path = draw(country);
    if (code && path && code !== ANTARCTICA) world.shapes[code] = (world.shapes[code] ?? "") + path;
  }
  for (const country of countries("50m").features) {
    const code = alpha2(country);
    if (!code || code === ANTARCTICA) continue;
    if (world.shapes[code] && draw.area(country) >= SMALLEST_AREA) continue;
    const [x, y] = draw.centroid(country);
    if (Number.isFinite(x) && Number.isFinite(y)) world.dots[code] = [round(x), round(y)];
  }
  return world;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const NAME = "virtual:world-map";

/** Makes `import world from "virtual:world-map"` the drawing. */
export function worldMap(): Plugin {
  return {
    name: "cairn-world-map",
    resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
    load: (id) =>
      id === `\0${NAME}` ? `export default ${JSON.stringify(drawWorld())};` : undefined,
  };
}
