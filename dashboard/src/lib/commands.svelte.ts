// What can be done by name: each page says what it offers, the palette finds it.

export interface Command {
  /** What it is about, shown before its name. */
  group: string;
  name: string;
  /** The single key that does the same. */
  key?: string;
  run: () => void;
}

class Commands {
  #sources = $state.raw<(() => Command[])[]>([]);
  open = $state(false);

  /** Offers commands until the answer is called; they are asked for when the palette is opened. */
  offer(source: () => Command[]): () => void {
    this.#sources = [...this.#sources, source];
    return () => (this.#sources = this.#sources.filter((other) => other !== source));
  }

  /** What is offered now, that of the page first. */
  all(): Command[] {
    return this.#sources.toReversed().flatMap((source) => source());
  }
}

export const commands = new Commands();

const folded = (text: string) => text.toLocaleLowerCase();

/** Commands that have every word, those whose name begins with the text first. */
export function matching(all: Command[], text: string): Command[] {
  const words = folded(text).split(/\s+/).filter(Boolean);
  const found = all.filter((command) => {
    const name = folded(`${command.group} ${command.name}`);
    return words.every((word) => name.includes(word));
  });
  const begins = (command: Command) => folded(command.name).startsWith(words.join(" "));
  return [...found.filter(begins), ...found.filter((command) => !begins(command))];
}
