// Recipients of mails, as a field of a form holds them and as a list shows them.
import { t } from "./texts.ts";

/** The addresses of a field, which commas separate. */
export function listOf(text: string): string[] {
  return text
    .split(",")
    .map((email) => email.trim())
    .filter((email) => email !== "");
}

/** Whom something is for, in words; who ended it for himself is marked. */
export function recipientsOf(of: { recipients: { email: string; ended: boolean }[] }): string {
  const shown = of.recipients.map(({ email, ended }) => (ended ? t.reports.ended(email) : email));
  return shown.join(", ");
}
