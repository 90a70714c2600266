// What the types of the module take and refuse; read by the compiler only.
import { cairn, start } from "../src/module";

start({ key: "px_k", host: "https://stats.shop.example", hashRoutes: true });
cairn("event", "add_to_cart", { items: [{ item_id: "7" }], value: 59.9, currency: "EUR" });
cairn("event", "sign_up", { props: { plan: "pro", seats: 3, trial: true } });
cairn("identify", "user-7", { email: "ada@shop.example" }, { token: "t" });
cairn("consent", { analytics: "granted", ads: "denied" });
cairn("consent", { ads: "denied" }, { signal: "page", shown: { version: "7", language: "de" } });
cairn("preferences");
cairn("remember", "size", "M");
cairn("recall", "size", (size) => String(size));
cairn("forget", "size");
cairn("sign_out");

// @ts-expect-error nobody would hear it
cairn("recall", "size");
// @ts-expect-error a collector is needed
start({ key: "px_k" });
// @ts-expect-error there is no such purpose
cairn("consent", { marketing: "granted" });
// @ts-expect-error a choice is one of two words
cairn("consent", { analytics: true });
// @ts-expect-error own fields belong in props
cairn("event", "sign_up", { plan: "pro" });
// @ts-expect-error there is no such command
cairn("track", "sign_up");
