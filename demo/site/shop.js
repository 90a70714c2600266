// What the pages do. Each page names itself in <body data-page>.

import {
  addOne,
  asEvent,
  cartLines,
  centsOf,
  countOf,
  customerNumber,
  isNewOrder,
  lastOrder,
  placeOrder,
  setQuantity,
} from "./cart.js";
import { formatCents, productById } from "./catalogue.js";
import { startChoice } from "./choice.js";
import {
  recentlySeen,
  rememberAddress,
  rememberCart,
  rememberSeen,
  rememberedAddress,
  restoreCart,
} from "./memory.js";

const $ = (selector, root = document) => root.querySelector(selector);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Said to everyone: shown for a moment and read out. */
function announce(text) {
  const status = $("#status");
  status.textContent = text;
  status.classList.add("shown");
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => status.classList.remove("shown"), 4000);
}

function showCount() {
  const count = countOf(cartLines());
  const badge = $("#cart-count");
  badge.textContent = count;
  badge.hidden = count === 0;
  $("#cart-link").setAttribute("aria-label", `Cart, ${count} ${count === 1 ? "item" : "items"}`);
}

function startAddButtons() {
  for (const button of document.querySelectorAll("button[data-add]")) {
    button.addEventListener("click", () => {
      const product = productById(button.dataset.add);
      addOne(product.id);
      rememberCart();
      window.cairn("event", "add_to_cart", asEvent([{ product, quantity: 1 }]));
      showCount();
      announce(`${product.name} is in your cart.`);
    });
  }
}

function startNewsletter() {
  const form = $("#newsletter");
  form?.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    window.cairn("event", "sign_up", { props: { method: "newsletter" } });
    form.replaceWith(
      element("p", { class: "done", role: "status" }, "Thank you. This is a demonstration, so no letter will come."),
    );
  });
}

function showProduct() {
  const product = productById(document.body.dataset.product);
  window.cairn("event", "view_item", asEvent([{ product, quantity: 1 }]));
  void rememberSeen(product);
}

/** At the end of the first page, so that nothing moves when it comes. */
async function showSeen() {
  const seen = await recentlySeen();
  if (!seen.length) return;
  const links = seen.map(({ id, name }) => element("li", {}, element("a", { href: `${id}.html` }, name)));
  $("main").append(
    element(
      "section",
      { class: "seen", "aria-labelledby": "seen-title" },
      element("h2", { id: "seen-title" }, "You looked at"),
      element("ul", {}, ...links),
    ),
  );
}

function showCart() {
  const lines = cartLines();
  $("#cart-empty").hidden = lines.length > 0;
  $("#cart-full").hidden = lines.length === 0;
  $("#cart-total").textContent = formatCents(centsOf(lines));
  $("#cart-lines").replaceChildren(...lines.map(cartLine));
  showCount();
}

function cartLine({ product, quantity }) {
  const less = element("button", { type: "button", "aria-label": `One ${product.name} less` }, "−");
  const more = element("button", { type: "button", "aria-label": `One ${product.name} more` }, "+");
  const change = (by) => {
    setQuantity(product.id, quantity + by);
    rememberCart();
    const name = by > 0 ? "add_to_cart" : "remove_from_cart";
    window.cairn("event", name, asEvent([{ product, quantity: 1 }]));
    showCart();
    const again = $(`[data-line="${product.id}"] button[aria-label$="${by > 0 ? "more" : "less"}"]`);
    (again ?? $("main h1")).focus();
  };
  less.addEventListener("click", () => change(-1));
  more.addEventListener("click", () => change(1));
  return element(
    "li",
    { "data-line": product.id },
    element("img", { src: `art/${product.id}.svg`, alt: "", width: "96", height: "77" }),
    element(
      "div",
      { class: "line-name" },
      element("a", { href: `${product.id}.html` }, product.name),
      element("span", {}, product.kind),
    ),
    element("div", { class: "stepper" }, less, element("span", { "aria-label": "Quantity" }, String(quantity)), more),
    element("span", { class: "price" }, formatCents(product.cents * quantity)),
  );
}

function summary(list, total, lines) {
  list.replaceChildren(
    ...lines.map(({ product, quantity }) =>
      element(
        "li",
        {},
        element("span", {}, `${quantity} × ${product.name}`),
        element("span", { class: "price" }, formatCents(product.cents * quantity)),
      ),
    ),
  );
  total.textContent = formatCents(centsOf(lines));
}

function startCheckout() {
  const lines = cartLines();
  $("#checkout-empty").hidden = lines.length > 0;
  $("#checkout-full").hidden = lines.length === 0;
  if (!lines.length) return;
  summary($("#summary"), $("#summary-total"), lines);
  window.cairn("event", "begin_checkout", asEvent(lines));
  void rememberedAddress().then((known) => {
    if (known && !$("#email").value) $("#email").value = known;
  });
  $("#checkout").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const email = new FormData(submitted.currentTarget).get("email").trim().toLowerCase();
    window.cairn("identify", customerNumber(), { email });
    rememberAddress(email);
    placeOrder();
    location.href = "thanks.html";
  });
}

function showThanks() {
  const order = lastOrder();
  $("#order-none").hidden = !!order;
  $("#order-done").hidden = !order;
  if (!order) return;
  $("#order-id").textContent = order.id;
  summary($("#summary"), $("#summary-total"), order.lines);
  if (isNewOrder()) {
    rememberCart();
    // The id makes the report of this order one report, however often it is made.
    window.cairn("event", "purchase", {
      event_id: "purchase-" + order.id,
      order_id: order.id,
      ...asEvent(order.lines),
    });
  }
}

const PAGES = { home: showSeen, product: showProduct, cart: showCart, checkout: startCheckout, thanks: showThanks };

showCount();
startAddButtons();
startNewsletter();
startChoice();
PAGES[document.body.dataset.page]?.();
void restoreCart().then((restored) => {
  if (!restored) return;
  showCount();
  if (document.body.dataset.page === "cart") showCart();
});
// A page from the back/forward cache shows the cart as it is now.
addEventListener("pageshow", (shown) => {
  if (!shown.persisted) return;
  showCount();
  if (document.body.dataset.page === "cart") showCart();
});
