// What the shop has remembered for those who said yes: the cart, what they looked at, the address for
// the checkout. Cairn keeps it behind a cookie, so it is there again when the browser's storage is not.

import { cartLines, countOf, setQuantity } from "./cart.js";
import { allowsMemory } from "./choice.js";
import { productById } from "./catalogue.js";

const RECENT = 4;

/** Nothing is asked and nothing is loaded for who said no. */
const recall = (name) =>
  new Promise((done) => (allowsMemory() ? window.cairn("recall", name, done) : done()));

function remember(name, value) {
  if (allowsMemory()) window.cairn("remember", name, value);
}

export function rememberCart() {
  remember("cart", cartLines().map(({ product, quantity }) => ({ item_id: product.id, quantity })));
}

/** Fills a cart that is empty; answers whether there was something. */
export async function restoreCart() {
  if (countOf(cartLines())) return false;
  const lines = (await recall("cart")) ?? [];
  // Somebody may have put something in meanwhile.
  if (countOf(cartLines())) return false;
  for (const { item_id, quantity } of lines) setQuantity(item_id, quantity);
  return lines.length > 0;
}

export async function rememberSeen(product) {
  const seen = (await recall("recently_seen")) ?? [];
  remember("recently_seen", [product.id, ...seen.filter((id) => id !== product.id)].slice(0, 20));
}

/** The products looked at last, the newest first. */
export async function recentlySeen() {
  const seen = (await recall("recently_seen")) ?? [];
  return seen.map(productById).filter(Boolean).slice(0, RECENT);
}

export const rememberAddress = (email) => remember("email", email);
export const rememberedAddress = () => recall("email");
