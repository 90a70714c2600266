// Pages and the real server by HTTPS, since browsers keep cookies of other sites by HTTPS only. One port answers for every
// host name; the certificate is made for the run, and nobody trusts it.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as forward } from "node:http";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Key and certificate for names under `.test`, or for others: no authority, which nobody trusts unasked. */
export function certificate(names = "DNS:*.test") {
  const directory = mkdtempSync(join(tmpdir(), "cairn-tls-"));
  try {
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(directory, name));
    const form = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const kind = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", `subjectAltName=${names}`];
    const about = ["-days", "2", "-subj", "/CN=cairn.test", ...kind, "-keyout", key, "-out", cert];
    execFileSync("openssl", [...form, ...about], { stdio: "ignore" });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What `page(host, path)` makes is served; what is asked of `collector` goes to the server at `origin`. */
export async function serveHttps(collector, origin, page) {
  const { hostname, port } = new URL(origin);
  const server = createServer(certificate(), (request, response) => {
    const host = request.headers.host.split(":")[0];
    if (host !== collector) {
      const { pathname, searchParams } = new URL(request.url, "https://any.test");
      const html = page(host, pathname, searchParams);
      return response.writeHead(html ? 200 : 404, { "Content-Type": "text/html; charset=utf-8" }).end(html);
    }
    const { method, url: path } = request;
    const headers = { ...request.headers, "x-forwarded-proto": "https" };
    const onward = forward({ hostname, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on("error", (fault) => response.destroy(fault));
    request.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
