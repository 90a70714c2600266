// Starts the installed Chromium. Nothing is downloaded: CHROMIUM names another executable.
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";

/** A browser with a fresh profile; every host name under `.test` is this machine. */
export function launchBrowser() {
  return chromium.launch({
    executablePath,
    headless: true,
    // The driver switches the back/forward cache off, which is one of the things under test.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP *.test 127.0.0.1",
    ],
  });
}
