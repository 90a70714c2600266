// Taking a question along: as JSON, as a command, or its answer as a file.
import { api, type FileFormat, type Query } from "./api/client.ts";
import { t } from "./texts.ts";

/** For a POSIX shell: nothing within single quotes is special but the quote itself. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

export function asJson(question: Query): string {
  return JSON.stringify(question, null, 2);
}

export function asCurl(question: Query, origin: string): string {
  return [
    `curl -X POST ${quoted(`${origin}/api/v2/query`)}`,
    `-H "Authorization: Bearer ${t.overview.copy.token}"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quoted(JSON.stringify(question))}`,
  ].join(" \\\n  ");
}

/** The name is without the ending, which the format gives. */
export async function download(question: Query, name: string, format: FileFormat): Promise<void> {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await api.exportQuery(question, format));
  link.download = `${name}.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
}
