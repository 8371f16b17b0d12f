/** `ipc serve`: who may reach it, and what its page shows in a browser. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { PosixMessageQueue } from "../ffi/message_queue.ts";
import { PosixSharedMemory } from "../ffi/shared_memory.ts";
import { noChromium, startChromium } from "./support/chromium.ts";
import { leakTest } from "./support/leaks.ts";
import { uniqueName } from "./support/names.ts";
import { type Child, spawn } from "./support/process.ts";

const MODULE = fromFileUrl(new URL("../cli/mod.ts", import.meta.url));

/** Starts a server; returns it with its address. */
async function startServer(
  ...args: string[]
): Promise<{ child: Child; url: URL }> {
  const child = spawn(Deno.execPath(), {
    args: ["run", "-A", MODULE, "serve", ...args],
    limit: 120_000,
  });
  return { child, url: new URL(await child.line()) };
}

/** Sends a request as it is, and returns the status. */
async function statusOf(port: string, ...lines: string[]): Promise<number> {
  using connection = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(port),
  });
  const request = [...lines, "Connection: close", "", ""].join("\r\n");
  await connection.write(new TextEncoder().encode(request));
  const text = await new Response(connection.readable).text();
  return Number(text.split(" ")[1]);
}

leakTest("serve answers only those who have its address", async () => {
  const { child, url } = await startServer("posix-queue");
  await using _ = child;
  const { pathname, port } = url;
  assertEquals(url.hostname, "127.0.0.1");
  assert(pathname.length >= 32, pathname);
  const get = (path: string, host = `127.0.0.1:${port}`, method = "GET") =>
    statusOf(port, `${method} ${path} HTTP/1.1`, `Host: ${host}`);
  assertEquals(
    [
      await get(pathname),
      await get(`${pathname}page.js`),
      await get(`${pathname}worker.js`),
      await get("/"),
      await get(`/${"A".repeat(32)}/`),
      await get(`${pathname}../mod.ts`),
      await get(`${pathname}constructor`),
      await get(pathname, "ipc.example"),
      await get(pathname, undefined, "POST"),
    ],
    [200, 200, 200, 404, 404, 404, 404, 403, 405],
  );
  // It listens on the loopback interface alone: 127.0.0.1, in this notation.
  const hexadecimal = Number(port).toString(16).toUpperCase().padStart(4, "0");
  const listeners = Deno.readTextFileSync("/proc/net/tcp").split("\n")
    .concat(Deno.readTextFileSync("/proc/net/tcp6").split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , state]) =>
      address?.endsWith(`:${hexadecimal}`) && state === "0A"
    );
  assertEquals(listeners.map(([, address]) => address), [
    `0100007F:${hexadecimal}`,
  ]);

  using queue = PosixMessageQueue.create(null, { maxMessages: 4 });
  PosixMessageQueue.unlink(queue.name);
  queue.sendSync(new Uint8Array(1));
  const events = await fetch(new URL("events", url));
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n\n")) text += (await reader.read()).value ?? "";
  const { objects } = JSON.parse(text.slice("data: ".length));
  const found = objects.find(({ name }: { name: string }) =>
    name === queue.name
  );
  assertEquals(found.holders.map((text: string) => parseInt(text)), [Deno.pid]);
  await reader.cancel();
  child.kill("SIGTERM");
  assertEquals((await child.ended()).code, 0);
});

leakTest("the page shows objects live, in Chromium", {
  needs: [noChromium],
  soak: true,
  limit: 120_000,
  sanitizeOps: false,
  sanitizeResources: false,
}, async () => {
  const name = `${uniqueName()}<script>alert(1)<x><img src=x onerror=alert(1)>`;
  using queue = PosixMessageQueue.create(name, { maxMessages: 4, maxSize: 8 });
  using memory = PosixSharedMemory.create(null, 4096);
  try {
    queue.sendSync(new Uint8Array(1));
    const { child, url } = await startServer("posix", "--interval", "0.2");
    await using server = child;
    await using browser = await startChromium();
    await browser.open(url.href);
    const text = (id: string) => `document.getElementById("${id}").textContent`;
    const shows = (id: string, part: string) =>
      browser.until(`${text(id)}.includes(${JSON.stringify(part)})`);
    await shows("objects", queue.name);
    await shows("objects", "1 of 4 messages");
    await shows("charts", "1 of 4 messages");
    queue.sendSync(new Uint8Array(2)); // while it is shown
    await shows("objects", "2 of 4 messages");
    await browser.until(
      `document.querySelectorAll("#charts polyline").length >= 2`,
    );
    // The filter.
    const filter = async (words: string) => {
      await browser.evaluate(`{
        const input = document.getElementById("filter");
        input.value = ${JSON.stringify(words)};
        input.dispatchEvent(new Event("input"));
      }`);
    };
    await filter(`posix-memory ${memory.name}`);
    await browser.until(
      `document.querySelectorAll("#objects tr").length === 1`,
    );
    await shows("objects", `${Deno.pid} deno`);
    await filter("nothing is called so");
    await browser.until(
      `document.querySelectorAll("#objects tr").length === 0`,
    );
    // A browser has six connections to a server: as many tabs as one likes.
    for (let tab = 0; tab < 8; tab++) {
      await browser.open(url.href);
      await shows("objects", queue.name);
    }
    // A name is text, and stays text.
    assertEquals(
      await browser.evaluate(
        `document.querySelectorAll("img, script, td > *:not(svg)").length`,
      ),
      2, // the picture, and the page's own script
    );
    assertEquals(
      browser.complaints.filter((one) => !/graph\.svg/.test(one)),
      [],
    );
    server.kill("SIGTERM");
    await shows("summary", "The server does not answer");
    await server.ended();
  } finally {
    PosixMessageQueue.unlink(queue.name);
    PosixSharedMemory.unlink(memory.name);
  }
});
