declare module "virtual:world-map" {
  const world: import("../scripts/world-map.ts").WorldMap;
  export default world;
}
