// Makes traffic on a thread of its own: one text for each message received, null after the last.
import { parentPort, workerData } from "node:worker_threads";
import { traffic } from "./traffic.mjs";

const texts = traffic(workerData);
parentPort.on("message", () => {
  const { value, done } = texts.next();
  if (done) {
    parentPort.postMessage(null);
    parentPort.close();
    return;
  }
  const bytes = new TextEncoder().encode(value);
  parentPort.postMessage(bytes, [bytes.buffer]);
});
