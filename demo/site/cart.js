// The cart: the shop's own record in the browser, needed for buying and for nothing else.

import { CURRENCY, PRODUCTS, productById } from "./catalogue.js";

const CART = "shop.cart";
const ORDER = "shop.order";
const MOST_OF_ONE = 20;

function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // A browser that forbids storage cannot keep a cart; the page says so when it is empty.
  }
}

/** [{product, quantity}], only what the shop still sells, in the catalogue's order. */
export function cartLines() {
  const quantities = read(CART, {});
  return PRODUCTS.filter(({ id }) => quantities[id] > 0).map((product) => ({
    product,
    quantity: quantities[product.id],
  }));
}

export function setQuantity(id, quantity) {
  const quantities = read(CART, {});
  quantities[id] = Math.max(0, Math.min(MOST_OF_ONE, Math.round(quantity) || 0));
  write(CART, quantities);
}

export function addOne(id) {
  const line = cartLines().find(({ product }) => product.id === id);
  setQuantity(id, (line?.quantity ?? 0) + 1);
}

export const countOf = (lines) => lines.reduce((sum, { quantity }) => sum + quantity, 0);
export const centsOf = (lines) =>
  lines.reduce((sum, { product, quantity }) => sum + product.cents * quantity, 0);

/** What an event says about these lines, in the names of GA4. */
export function asEvent(lines) {
  return {
    currency: CURRENCY,
    value: centsOf(lines) / 100,
    items: lines.map(({ product, quantity }) => ({
      item_id: product.id,
      item_name: product.name,
      item_category: product.category,
      price: product.cents / 100,
      quantity,
    })),
  };
}

/** Turns the cart into an order and empties it. */
export function placeOrder() {
  const digits = crypto.getRandomValues(new Uint32Array(1))[0].toString(36).toUpperCase();
  const order = {
    id: "CO-" + digits.padStart(7, "0"),
    lines: cartLines().map(({ product, quantity }) => ({ id: product.id, quantity })),
  };
  write(ORDER, order);
  write(CART, {});
}

/** The newest order with its products, or undefined. */
export function lastOrder() {
  const order = read(ORDER, undefined);
  if (!order) return undefined;
  const lines = order.lines
    .map(({ id, quantity }) => ({ product: productById(id), quantity }))
    .filter(({ product }) => product);
  return { ...order, lines };
}

/** True once for each order: a purchase is reported when it happens, not when its page is reloaded. */
export function isNewOrder() {
  const order = read(ORDER, undefined);
  if (!order || order.reported) return false;
  write(ORDER, { ...order, reported: true });
  return true;
}

/** A customer number for this browser: what the shop calls a customer, never the address itself. */
export function customerNumber() {
  const known = read("shop.customer", undefined);
  if (known) return known;
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(8)));
  const number = "customer-" + bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  write("shop.customer", number);
  return number;
}
