// What the shop sells. Both the pages (written by ../build.mjs) and the cart read it. Prices are
// cents: sums of money are never fractions of a float.

export const CURRENCY = "EUR";

export const PRODUCTS = [
  {
    id: "tarn-2",
    name: "Tarn 2",
    kind: "Two-person tent",
    category: "Shelter",
    cents: 34900,
    alt: "A green two-person tent",
    line: "Up in four minutes, dry by morning.",
    text: "Two doors, one pole crossing and a floor that shrugs off a wet meadow. The fly is sewn, not glued, so any seam can be opened and mended.",
    facts: [["Weight", "1.9 kg"], ["Packed", "42 × 14 cm"], ["Sleeps", "2"], ["Seasons", "3"]],
  },
  {
    id: "cairn-38",
    name: "Cairn 38",
    kind: "Backpack",
    category: "Packs",
    cents: 15900,
    alt: "A rust-red backpack",
    line: "Thirty-eight litres, and none of them hidden.",
    text: "One big opening, one pocket you can reach while walking, and a frame bent to carry weight on the hips where it belongs.",
    facts: [["Weight", "1.1 kg"], ["Volume", "38 l"], ["Back length", "44–52 cm"], ["Carries", "up to 14 kg"]],
  },
  {
    id: "ember",
    name: "Ember",
    kind: "Camp stove",
    category: "Kitchen",
    cents: 5990,
    alt: "A camp stove with a lively flame",
    line: "Half a litre in three minutes, wind or not.",
    text: "Three legs that stand on anything and a burner set deep enough that the wind goes over it. The valve comes apart with a coin.",
    facts: [["Weight", "280 g"], ["Boils 0.5 l", "3 min"], ["Fuel", "Screw canister"], ["Pots", "up to 22 cm"]],
  },
  {
    id: "brook",
    name: "Brook",
    kind: "Kettle",
    category: "Kitchen",
    cents: 3450,
    alt: "A blue kettle with a wooden grip",
    line: "Pours like it means it.",
    text: "Enamelled steel with a beech grip that stays cool. Fits inside the Cairn 38 with two mugs and a bag of tea.",
    facts: [["Weight", "410 g"], ["Holds", "1.2 l"], ["Grip", "Oiled beech"], ["Hob", "Gas, fire, induction"]],
  },
  {
    id: "glow",
    name: "Glow",
    kind: "Lantern",
    category: "Light",
    cents: 4200,
    alt: "A green lantern, alight",
    line: "A small warm room, wherever you hang it.",
    text: "Forty hours of light the colour of a candle, from a cell that you can buy anywhere and change yourself.",
    facts: [["Weight", "230 g"], ["Light", "180 lm, dimmable"], ["Lasts", "40 h"], ["Water", "Splash-proof"]],
  },
  {
    id: "dusk",
    name: "Dusk",
    kind: "Sleeping bag",
    category: "Sleep",
    cents: 21900,
    alt: "A blue sleeping bag under a crescent moon",
    line: "Warm to minus four, and honest about it.",
    text: "Tested by people who were cold at minus six. Recycled fill, a zip that does not bite, and a hood you can sleep in sideways.",
    facts: [["Weight", "1.2 kg"], ["Comfort", "−4 °C"], ["Packed", "30 × 18 cm"], ["Fits", "up to 195 cm"]],
  },
  {
    id: "scree",
    name: "Scree",
    kind: "Walking boots",
    category: "Footwear",
    cents: 18900,
    alt: "A brown walking boot with red laces",
    line: "Stiff where it counts, soft where you bend.",
    text: "Full-grain leather and a sole that is stitched on, so a cobbler can give it a second and a third life.",
    facts: [["Weight", "620 g each"], ["Upper", "Full-grain leather"], ["Sole", "Stitched, replaceable"], ["Sizes", "36–47"]],
  },
  {
    id: "dawn",
    name: "Dawn",
    kind: "Enamel mug",
    category: "Kitchen",
    cents: 1490,
    alt: "A white enamel mug with a mountain painted on it",
    line: "For the first coffee of the day, outside.",
    text: "Light, loud when dropped, and impossible to break. Each rim is painted by hand, so no two are alike.",
    facts: [["Weight", "120 g"], ["Holds", "0.35 l"], ["Hob", "Gas, fire"], ["Dishwasher", "Better by hand"]],
  },
];

export function productById(id) {
  return PRODUCTS.find((product) => product.id === id);
}

const money = new Intl.NumberFormat("en-IE", { style: "currency", currency: CURRENCY });

export function formatCents(cents) {
  return money.format(cents / 100);
}
