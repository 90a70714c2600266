// The shop's own question about measuring. Yes and no look alike and cost one press each; the
// answer can be changed on every page. Where the browser asks not to be sold or shared (Global
// Privacy Control), a yes never includes advertising.

const NAME = "shop.choice";
const asksForPrivacy = () => navigator.globalPrivacyControl === true;

function read() {
  try {
    return JSON.parse(localStorage.getItem(NAME));
  } catch {
    return null;
  }
}

function choose(yes) {
  const answer = yes ? "granted" : "denied";
  const ads = asksForPrivacy() ? "denied" : answer;
  const choice = { analytics: answer, ads, functional: answer };
  try {
    localStorage.setItem(NAME, JSON.stringify(choice));
  } catch {
    // Without storage the answer holds for this page, and the question comes again.
  }
  window.cairn("consent", choice);
}

/** Whether the shop may have things remembered. */
export const allowsMemory = () => read()?.functional === "granted";

export function startChoice() {
  const banner = document.querySelector("#choice");
  const current = banner.querySelector("[data-current]");
  banner.querySelector("[data-gpc]").hidden = !asksForPrivacy();
  for (const note of document.querySelectorAll("[data-gpc-footer]")) {
    note.hidden = !asksForPrivacy();
  }

  const show = () => {
    const choice = read();
    current.hidden = !choice;
    if (choice) {
      current.textContent =
        choice.analytics === "granted"
          ? "At the moment your visits are counted, and your cart is remembered."
          : "At the moment only anonymous totals are kept.";
    }
    banner.hidden = false;
  };
  for (const button of banner.querySelectorAll("button[value]")) {
    button.addEventListener("click", () => {
      choose(button.value === "yes");
      banner.hidden = true;
      document.querySelector("#reopen-choice").focus({ preventScroll: true });
    });
  }
  document.querySelector("#reopen-choice").addEventListener("click", () => {
    show();
    banner.querySelector("h2").focus();
  });
  if (!read()) show();
}
