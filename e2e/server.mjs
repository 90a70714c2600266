// The real server, as `cairn demo` in a directory of its own, or one that runs already (CAIRN_URL,
// CAIRN_BOOTSTRAP_TOKEN, CAIRN_LOGIN_URL).
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const READY_MS = 120_000;

function executable() {
  const candidates = [
    process.env.CAIRN_BIN,
    ...["release", "debug"].map((profile) =>
      fileURLToPath(new URL(`../target/${profile}/cairn`, import.meta.url)),
    ),
  ];
  const found = candidates.find((path) => path && existsSync(path));
  if (!found) throw new Error("no cairn executable: build it first (cargo build --release)");
  return found;
}

export class Server {
  /** Lines of standard output so far. */
  lines = [];

  /** `settings`: variables of the environment, such as `CAIRN_SERVER__TRUSTED_PROXIES`. */
  static async start(settings = {}) {
    const server = new Server();
    if (process.env.CAIRN_URL) {
      server.origin = process.env.CAIRN_URL.replace(/\/$/, "");
      server.token = process.env.CAIRN_BOOTSTRAP_TOKEN;
      server.loginUrl = process.env.CAIRN_LOGIN_URL;
      return server;
    }
    server.token = randomBytes(24).toString("hex");
    server.directory = await mkdtemp(join(tmpdir(), "cairn-e2e-"));
    server.process = spawn(
      executable(),
      ["demo", "--data", server.directory, "--listen", "127.0.0.1:0"],
      {
        env: { ...process.env, CAIRN_BOOTSTRAP_TOKEN: server.token, ...settings },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    try {
      await server.#readLines();
    } catch (fault) {
      await server.stop();
      throw fault;
    }
    return server;
  }

  /** The first line names the address; a later one is the link that signs in. */
  #readLines() {
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(
        () => reject(new Error(`not ready in time; it said:\n${this.lines.join("\n")}`)),
        READY_MS,
      );
      const done = (settle, value) => {
        clearTimeout(deadline);
        settle(value);
      };
      this.process.once("error", (fault) => done(reject, fault));
      this.process.once("exit", (code) =>
        done(reject, new Error(`cairn ended with ${code}:\n${this.lines.join("\n")}`)),
      );
      createInterface({ input: this.process.stdout }).on("line", (line) => {
        this.lines.push(line);
        if (this.lines.length === 1) {
          this.origin = /^listening on (http:\/\/\S+)$/.exec(line)?.[1];
          if (!this.origin) done(reject, new Error(`the first line was: ${line}`));
        }
        this.loginUrl ??= /https?:\/\/\S+[?&]token=\S+/.exec(line)?.[0];
        if (this.origin && this.loginUrl) done(resolve);
      });
    });
  }

  /** Ends the process as an operator would; the answer is its exit code. */
  async stop() {
    let code = 0;
    if (this.process) {
      this.process.removeAllListeners("exit");
      if (this.process.exitCode === null) {
        const ended = once(this.process, "exit");
        this.process.kill("SIGTERM");
        [code] = await ended;
      }
    }
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
    return code;
  }

  /** Whether any file of the data directory has these bytes. */
  async keeps(text) {
    for (let search = 0; search < 100; search += 1) {
      try {
        return await this.#anyFileHas(text);
      } catch (fault) {
        // The server took a file away in the meantime, and may have put what was in it into another
        // that was read already: only a search that met every file has found nothing.
        if (fault.code !== "ENOENT") throw fault;
      }
    }
    throw new Error(`files of ${this.directory} vanish in every search`);
  }

  async #anyFileHas(text) {
    const entries = await readdir(this.directory, { recursive: true, withFileTypes: true });
    for (const file of entries.filter((entry) => entry.isFile())) {
      if ((await readFile(join(file.parentPath, file.name))).includes(text)) return true;
    }
    return false;
  }

  async api(method, path, body) {
    const answer = await fetch(this.origin + path, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }
}
