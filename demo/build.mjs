// Writes the shop's pages into site/ from its catalogue. `--check` writes nothing and fails when a
// page there is not what this would write.
import { readFileSync, writeFileSync } from "node:fs";
import { PRODUCTS, formatCents } from "./site/catalogue.js";

const escape = (text) =>
  text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);

const cartIcon = `<svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true"><path d="M5 8h14l-1.2 10.2a2 2 0 0 1-2 1.8H8.2a2 2 0 0 1-2-1.8L5 8Z M9 8V7a3 3 0 0 1 6 0v1" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/></svg>`;

function layout({ title, description, page, product, main }) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escape(description)}">
<title>${escape(title)}</title>
<link rel="icon" href="art/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="shop.css">
<script src="first.js"></script>
<script async src="/cairn.js?key=__CAIRN_KEY__"></script>
<script type="module" src="shop.js"></script>
</head>
<body data-page="${page}"${product ? ` data-product="${product}"` : ""}>
<noscript><img src="/p.gif?key=__CAIRN_KEY__" alt="" width="1" height="1"></noscript>
<a class="skip" href="#content">Skip to the content</a>
<p class="ribbon">A demonstration shop: nothing is sold and nothing is shipped. <a href="/">See your clicks in Cairn</a></p>
<header class="top">
<a class="brand" href="./"><img src="art/mark.svg" alt="" width="32" height="32"> Cairn Outdoor</a>
<nav aria-label="Shop">
<a href="./#catalogue">All things</a>
<a id="cart-link" class="cart" href="cart.html" aria-label="Cart">${cartIcon}<span id="cart-count" hidden>0</span></a>
</nav>
</header>
<main id="content">
${main}
</main>
<footer class="bottom">
<p>Cairn Outdoor is an invented shop that comes with Cairn. Use an invented address.</p>
<p><button type="button" id="reopen-choice" class="link">Privacy choices</button></p>
<p data-gpc-footer hidden>Your browser’s opt-out request is honoured: nothing is used for advertising.</p>
</footer>
<section id="choice" class="choice" role="region" aria-labelledby="choice-title" hidden>
<h2 id="choice-title" tabindex="-1">May we count and remember your visit?</h2>
<p>With your yes, cookies let us see that it is you who comes back, and keep your cart and address for you. With your no, you are only part of an anonymous total. The shop works the same either way.</p>
<p data-gpc hidden>Your browser sends Global Privacy Control. We take that as a no to advertising, whatever you choose here.</p>
<p data-current hidden></p>
<div class="answers"><button type="button" value="no">No, don’t</button><button type="button" value="yes">Yes, count me</button></div>
</section>
<p id="status" class="status" role="status"></p>
</body>
</html>
`;
}

const card = (product) => `<li class="card">
<a href="${product.id}.html"><img src="art/${product.id}.svg" alt="${escape(product.alt)}" width="400" height="320" loading="lazy">
<span class="kind">${escape(product.kind)}</span>
<span class="name">${escape(product.name)}</span></a>
<p>${escape(product.line)}</p>
<div class="buy"><span class="price">${formatCents(product.cents)}</span><button type="button" data-add="${product.id}" aria-label="Add ${escape(product.name)} to the cart">Add</button></div>
</li>`;

const promises = `<section class="promises" data-cairn-section="promises" aria-labelledby="promises-title">
<h2 id="promises-title">Made to be mended</h2>
<ul>
<li><h3>Every seam opens</h3><p>Nothing is glued that can be sewn. Send it back and we mend it, for as long as you own it.</p></li>
<li><h3>Ninety nights</h3><p>Sleep in it, cook on it, walk in it. If it is not yours after ninety nights, it is ours again.</p></li>
<li><h3>One parcel</h3><p>Everything of an order travels together, in paper, and there is nothing in the box to throw away.</p></li>
</ul>
</section>`;

const newsletter = `<section class="letter" data-cairn-section="newsletter" aria-labelledby="letter-title">
<h2 id="letter-title">Four letters a year</h2>
<p>One for each season: where to go, what to mend before.</p>
<form id="newsletter">
<label for="letter-email">E-mail address</label>
<div class="row"><input id="letter-email" name="email" type="email" autocomplete="off" placeholder="you@example.org" required><button type="submit">Sign up</button></div>
</form>
</section>`;

function home() {
  return layout({
    title: "Cairn Outdoor: things for staying out longer",
    description: "Tents, packs and kettles of an invented shop that comes with Cairn.",
    page: "home",
    main: `<section class="hero" data-cairn-section="hero">
<img src="art/hero.svg" alt="" width="1200" height="520">
<div><h1>Carry less. Stay longer.</h1><p>Eight things for a night outside, each of them made to be mended.</p><a class="button" href="#catalogue">See all eight</a></div>
</section>
<section data-cairn-section="catalogue" aria-labelledby="catalogue">
<h2 id="catalogue">All things</h2>
<ul class="grid">
${PRODUCTS.map(card).join("\n")}
</ul>
</section>
${promises}
${newsletter}`,
  });
}

function product(item) {
  const others = PRODUCTS.filter(({ id }) => id !== item.id);
  const at = PRODUCTS.indexOf(item);
  const beside = [0, 3, 5].map((step) => others[(at + step) % others.length]);
  return layout({
    title: `${item.name}, ${item.kind.toLowerCase()} · Cairn Outdoor`,
    description: item.line,
    page: "product",
    product: item.id,
    main: `<nav class="crumbs" aria-label="Where you are"><a href="./#catalogue">All things</a> <span aria-hidden="true">/</span> ${escape(item.category)}</nav>
<article class="product">
<img src="art/${item.id}.svg" alt="${escape(item.alt)}" width="400" height="320">
<div data-cairn-section="description">
<p class="kind">${escape(item.kind)}</p>
<h1>${escape(item.name)}</h1>
<p class="lead">${escape(item.line)}</p>
<p>${escape(item.text)}</p>
<p class="price">${formatCents(item.cents)}</p>
<div class="actions"><button type="button" class="button" data-add="${item.id}">Add to cart</button><a class="quiet" href="cart.html">Go to the cart</a></div>
<dl class="facts">
${item.facts.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${escape(value)}</dd></div>`).join("\n")}
</dl>
<details data-cairn-event="open_delivery"><summary>Delivery and returns</summary><p>Two to four days, free from €50. Ninety nights to send it back.</p></details>
</div>
</article>
<section data-cairn-section="beside" aria-labelledby="beside-title">
<h2 id="beside-title">Goes well with</h2>
<ul class="grid three">
${beside.map(card).join("\n")}
</ul>
</section>`,
  });
}

const cart = layout({
  title: "Cart · Cairn Outdoor",
  description: "What you chose so far.",
  page: "cart",
  main: `<h1 tabindex="-1">Cart</h1>
<div id="cart-empty" class="empty" hidden><p>Nothing here yet.</p><a class="button" href="./#catalogue">See all things</a></div>
<div id="cart-full" data-cairn-section="cart" hidden>
<ul id="cart-lines" class="lines"></ul>
<p class="total"><span>Total</span><strong id="cart-total" class="price"></strong></p>
<div class="actions end"><a class="quiet" href="./#catalogue">Look further</a><a class="button" href="checkout.html">Check out</a></div>
</div>`,
});

const checkout = layout({
  title: "Check out · Cairn Outdoor",
  description: "Where the order goes.",
  page: "checkout",
  main: `<h1>Check out</h1>
<div id="checkout-empty" class="empty" hidden><p>Your cart is empty.</p><a class="button" href="./#catalogue">See all things</a></div>
<div id="checkout-full" class="columns" hidden>
<form id="checkout" data-cairn-section="checkout">
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="off" placeholder="you@example.org" aria-describedby="email-why" required>
<p id="email-why" class="hint">Please invent one. Cairn keeps it only if you said yes to being counted.</p>
<label for="name">Name</label>
<input id="name" name="name" autocomplete="off" required>
<fieldset><legend>Delivery</legend>
<label class="pick"><input type="radio" name="delivery" value="post" checked> By post, two to four days</label>
<label class="pick"><input type="radio" name="delivery" value="bicycle"> By bicycle courier, where there is one</label>
</fieldset>
<button type="submit" class="button">Place the order</button>
<p class="hint">Nothing is charged and nothing is shipped.</p>
</form>
<aside aria-labelledby="summary-title"><h2 id="summary-title">Your order</h2><ul id="summary" class="summary"></ul><p class="total"><span>Total</span><strong id="summary-total" class="price"></strong></p></aside>
</div>`,
});

const thanks = layout({
  title: "Thank you · Cairn Outdoor",
  description: "Your order.",
  page: "thanks",
  main: `<div id="order-none" class="empty" hidden><h1>No order yet</h1><a class="button" href="./#catalogue">See all things</a></div>
<div id="order-done" class="narrow" data-cairn-section="thanks" hidden>
<h1>Thank you</h1>
<p class="lead">Order <strong id="order-id"></strong> is on its way into the statistics.</p>
<ul id="summary" class="summary"></ul>
<p class="total"><span>Total</span><strong id="summary-total" class="price"></strong></p>
<div class="actions"><a class="button" href="/">See it in Cairn</a><a class="quiet" href="./">Back to the shop</a></div>
</div>`,
});

const pages = new Map([
  ["index.html", home()],
  ...PRODUCTS.map((item) => [`${item.id}.html`, product(item)]),
  ["cart.html", cart],
  ["checkout.html", checkout],
  ["thanks.html", thanks],
]);

let stale = 0;
for (const [name, html] of pages) {
  const file = new URL(`site/${name}`, import.meta.url);
  if (!process.argv.includes("--check")) {
    writeFileSync(file, html);
  } else if (readFileSync(file, "utf8") !== html) {
    console.error(`demo/site/${name} is not what demo/build.mjs writes: run node demo/build.mjs`);
    stale = 1;
  }
}
process.exitCode = stale;
