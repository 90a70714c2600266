// Starts the installed Chromium. Nothing is downloaded: CHROMIUM names another executable.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--host-resolver-rules=MAP *.test 127.0.0.1",
];

/** A browser with a fresh profile; every host name under `.test` is this machine. */
export function launchBrowser() {
  return chromium.launch({
    executablePath,
    headless: true,
    // The driver switches the back/forward cache off, which is one of the things under test.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: [
      ...ARGUMENTS,
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A browser's context that stays in a directory when it is closed. */
export const launchKept = (profile, options = {}) =>
  chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS, ...options });

/**
 * A browser that nobody drives, since one that is driven renders no page ahead. It opens the address,
 * takes the origins as safe ones, and answers with how to end it.
 */
export async function launchAlone(address, origins) {
  const profile = await mkdtemp(join(tmpdir(), "cairn-browser-"));
  const browser = spawn(
    executablePath,
    [
      ...ARGUMENTS,
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      `--unsafely-treat-insecure-origin-as-secure=${origins}`,
      address,
    ],
    { stdio: "ignore" },
  );
  return async () => {
    if (browser.exitCode === null) {
      const ended = once(browser, "exit");
      browser.kill();
      await ended;
    }
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
}
