// A form being sent: what is wrong, at which field, and whether it is on its way.
import { tick } from "svelte";
import { ApiError } from "./api/client.ts";
import { t } from "./texts.ts";

/** What is wrong with a field that must be filled in. */
export function required(text: string): string | undefined {
  return text.trim() === "" ? t.form.required : undefined;
}

export class Form {
  errors = $state<Record<string, string>>({});
  /** What is wrong with the whole, when no field is to blame. */
  problem = $state("");
  busy = $state(false);
  #fields: readonly string[];

  constructor(...fields: string[]) {
    this.#fields = fields;
  }

  /** Sends if `check` finds nothing wrong; puts the server's complaint at the field it names. */
  async send(
    check: () => Record<string, string | undefined>,
    work: () => Promise<void>,
  ): Promise<void> {
    const found = Object.entries(check()).filter((entry): entry is [string, string] => !!entry[1]);
    this.errors = Object.fromEntries(found);
    this.problem = "";
    if (found.length === 0 && !this.busy) {
      this.busy = true;
      try {
        await work();
      } catch (cause) {
        this.#blame(cause);
      } finally {
        this.busy = false;
      }
    }
    if (Object.keys(this.errors).length > 0) {
      await tick();
      // Of a group that is wrong, what is chosen in it.
      document
        .querySelector<HTMLElement>(
          ':is(input, select, textarea)[aria-invalid="true"], [aria-invalid="true"] input:checked',
        )
        ?.focus();
    }
  }

  #blame(cause: unknown): void {
    if (!(cause instanceof ApiError)) throw cause;
    const text = cause.help ? `${cause.message} ${cause.help}` : cause.message;
    // An entry of a list is named as `hosts[2]`: it stands in the field of the list.
    const field = cause.field?.replace(/\[\d+\]$/, "");
    if (field && this.#fields.includes(field)) this.errors = { [field]: text };
    else if (cause.status === 429) this.problem = t.login.tooMany;
    else this.problem = text;
  }
}
