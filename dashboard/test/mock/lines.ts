// Answers to several questions, one line each, as they are ready.
import type { ServerResponse } from "node:http";
import type { Answer, Query } from "../../src/lib/api/client.ts";

/** A failure's `status` and `code`, where it has them, are those of its line. */
export async function sendLines(
  response: ServerResponse,
  questions: Query[],
  answer: (question: Query) => Promise<Answer>,
): Promise<void> {
  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  const line = (index: number, status: number, body: unknown) =>
    response.write(`${JSON.stringify({ index, status, body })}\n`);
  const sent = questions.map((question, index) =>
    answer(question).then(
      (body) => line(index, 200, body),
      (cause: Error & { status?: number; code?: string }) => {
        const { status = 400, code = "invalid_query", message } = cause;
        line(index, status, { error: { code, message } });
      },
    ),
  );
  await Promise.all(sent);
  response.end();
}
