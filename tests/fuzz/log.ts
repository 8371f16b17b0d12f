/**
 * The log of a run. Each line is written before what it tells of is done, so that
 * it is there after a crash.
 */

/** What the lines begin with. */
export const MARK = {
  call: ". ",
  note: "  ",
  finding: "! ",
  object: "@ ",
  end: "= end",
} as const;

/** A file of lines, written one by one, each at once. */
export class Log {
  readonly #file: Deno.FsFile;
  readonly #found = new Set<string>();
  readonly #begun = performance.now();

  /** Opens the file anew. */
  constructor(path: string) {
    this.#file = Deno.openSync(path, { write: true, append: true });
  }

  /** Something that is about to happen. */
  note(text: string): void {
    this.#line(MARK.note + text);
  }

  /** A call that is about to be made. */
  call(step: number, text: string): void {
    const time = (performance.now() - this.#begun).toFixed(0);
    this.#line(`${MARK.call}${step} [${time}] ${text}`);
  }

  /** A System V object or a POSIX name to clean up after a crash. */
  object(text: string): void {
    this.#line(MARK.object + text);
  }

  /** A fault; each is told once. */
  finding(kind: string, text: string): void {
    if (this.#found.has(`${kind}: ${text}`)) return;
    this.#found.add(`${kind}: ${text}`);
    this.#line(`${MARK.finding}${kind}: ${text}`);
  }

  /** The run is over; what follows is the end of the process. */
  end(): void {
    this.#line(MARK.end);
  }

  #line(text: string): void {
    const line = text.replaceAll("\n", "\\n").slice(0, 600);
    const bytes = new TextEncoder().encode(`${line}\n`);
    for (let done = 0; done < bytes.length;) {
      done += this.#file.writeSync(bytes.subarray(done));
    }
  }
}
