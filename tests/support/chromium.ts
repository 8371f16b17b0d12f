/**
 * A headless Chromium, driven over its DevTools protocol.
 *
 * ```ts ignore
 * await using browser = await startChromium();
 * await browser.open("http://127.0.0.1:8000/");
 * await browser.until("document.title === 'ready'");
 * ```
 *
 * Without Chromium {@linkcode noChromium} is the reason for which a test is to be ignored.
 */
import { type Scratch, scratch } from "./names.ts";
import { type Child, spawn, succeeds } from "./process.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

const program = NAMES.find((name) => succeeds(name, "--version"));

/** Why there is no Chromium here, or null. */
export const noChromium: string | null = program === undefined
  ? "no chromium (on Debian: apt-get install chromium)"
  : null;

/** A page of a browser. */
export class Browser implements AsyncDisposable {
  readonly #child: Child;
  readonly #profile: Scratch;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  /** What the page has complained of: errors of scripts and of policies. */
  readonly complaints: string[] = [];
  #session: string | undefined;
  #last = 0;

  constructor(child: Child, profile: Scratch, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const answer = JSON.parse(data) as Answer;
      if (answer.id !== undefined) this.#answers.get(answer.id)?.(answer);
      else if (/exceptionThrown|entryAdded/.test(answer.method ?? "")) {
        this.complaints.push(data);
      }
    });
  }

  /** Opens an address in a new page. */
  async open(url: string): Promise<void> {
    const { targetId } = await this.#call("Target.createTarget", {
      url: "about:blank",
    });
    const { sessionId } = await this.#call("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    this.#session = sessionId as string;
    await this.#call("Runtime.enable");
    await this.#call("Log.enable");
    await this.#call("Page.navigate", { url });
  }

  /** The value of an expression in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.#call("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    return (result as { value?: unknown }).value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, limit = 20_000): Promise<void> {
    const end = performance.now() + limit;
    while (await this.evaluate(expression) !== true) {
      if (performance.now() > end) throw new Error(`never: ${expression}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A picture of the page, or of its upper part: PNG. */
  async screenshot(height?: number): Promise<Uint8Array> {
    const clip = { x: 0, y: 0, width: 1280, height, scale: 1 };
    const { data } = await this.#call("Page.captureScreenshot", {
      format: "png",
      ...(height === undefined ? {} : { clip, captureBeyondViewport: true }),
    });
    return Uint8Array.fromBase64(data as string);
  }

  #call(
    method: string,
    params: Record<string, unknown> = {},
  ): Promise<Record<string, unknown>> {
    const id = ++this.#last;
    const session = this.#session === undefined
      ? {}
      : { sessionId: this.#session };
    const { promise, resolve, reject } = Promise.withResolvers<
      Record<string, unknown>
    >();
    this.#answers.set(id, ({ result, error }) => {
      this.#answers.delete(id);
      if (result === undefined) {
        reject(new Error(`${method}: ${error?.message}`));
      } else resolve(result);
    });
    this.#socket.send(JSON.stringify({ id, method, params, ...session }));
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) =>
      this.#socket.addEventListener("close", resolve, { once: true })
    );
    this.#session = undefined;
    this.#call("Browser.close").catch(() => {});
    await closed;
    await this.#child.ended();
    await this.#child[Symbol.asyncDispose]();
    this.#profile[Symbol.dispose]();
  }
}

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** Starts a Chromium without a window. */
export async function startChromium(): Promise<Browser> {
  const profile = scratch();
  const child = spawn(program!, {
    args: [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--window-size=1280,1000",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile.path}`,
      "about:blank",
    ],
    limit: 120_000,
  });
  const text = await child.expectError(/ws:\/\/\S+/);
  const socket = new WebSocket(text.match(/ws:\/\/\S+/)![0]);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", reject, { once: true });
  });
  return new Browser(child, profile, socket);
}
