/** Pixels in shared memory: with an X11 server (MIT-SHM) and with a Wayland compositor. */
import { assertEquals, assertRejects } from "@std/assert";
import { EventFd } from "@linux/ipc/descriptor";
import { MemoryMap } from "@linux/ipc/memory-map";
import {
  type Memory,
  MemoryFile,
  SysvSharedMemory,
} from "@linux/ipc/shared-memory";
import type { DescriptorLike } from "@linux/ipc/socket";
import {
  DISPLAY,
  Wayland,
  type WaylandEvent,
} from "../../examples/_wayland.ts";
import { runExample, startExample } from "../interop/peers.ts";
import { assertPrinted } from "../support/asserts.ts";
import { leakTest } from "../support/leaks.ts";
import { type Scratch, scratch } from "../support/names.ts";
import { type Child, listening, spawn, until } from "../support/process.ts";
import { missing } from "./program.ts";
import { X11 } from "./x11.ts";

const WIDTH = 320;
const HEIGHT = 240;
const PIXELS = WIDTH * HEIGHT;
const SIZE = PIXELS * 4;
const SIZES = { width: WIDTH, height: HEIGHT };
const TIMEOUT = 20_000; // ms
const XRGB8888 = 1;

const noX11 = missing("Xvfb", "xvfb");
const noWayland = missing("weston", "weston");

/** Pixels at an offset of memory, without the byte that does not count. */
function pixels(memory: Memory, offset = 0): Uint32Array {
  return new Uint32Array(memory.bytes.buffer, offset, PIXELS)
    .map((pixel) => pixel & 0xffffff);
}

/** Fills memory with pixels that differ. */
function paint(memory: Memory): void {
  const words = new Uint32Array(memory.bytes.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (i * 40503) & 0xffffff;
}

/** Starts an X11 server; returns the number of its display, too. */
async function startX11(): Promise<[Child, display: string]> {
  const server = spawn("Xvfb", {
    args: ["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"],
  });
  return [server, await server.line()];
}

const connectX11 = (display: string) =>
  X11.connect(`/tmp/.X11-unix/X${display}`);

/** Starts a Wayland compositor, whose socket is "wayland" in a directory. */
async function startWayland(
  dir: Scratch,
  args: string[],
  env: Record<string, string> = {},
): Promise<Child> {
  const config = dir.file(
    "weston.ini",
    "[core]\nuse-pixman=true\nrenderer=pixman\nidle-time=0\n" + // old and new names
      "[input-method]\npath=\n",
  );
  const compositor = spawn("weston", {
    args: [`--config=${config}`, "--socket=wayland", ...args],
    env: { XDG_RUNTIME_DIR: dir.path, ...env },
  });
  const path = dir.file("wayland");
  await compositor.until(() => listening(path), path);
  return compositor;
}

leakTest("an X11 server reads and writes pixels in shared memory", {
  needs: [noX11],
}, async () => {
  const [child, display] = await startX11();
  await using server = child;
  using x11 = await connectX11(display);
  const canvas = await x11.createCanvas(WIDTH, HEIGHT);

  using sysv = SysvSharedMemory.create(null, SIZE);
  const segment = await x11.attach(sysv.id);
  sysv.remove(); // destroyed when both are done with it
  using file = MemoryFile.create("pixels", 2 * SIZE);
  file.seal(["shrink", "grow", "seal"]);
  using map = file.map();
  const passed = await x11.attachFd(file);

  paint(sysv);
  await x11.put(canvas, { segment, offset: 0, ...SIZES });
  const second = { segment: passed, offset: SIZE, ...SIZES };
  await x11.get(canvas.pixmap, second);
  assertEquals(pixels(map, SIZE), pixels(sysv));
  assertEquals(pixels(map), new Uint32Array(PIXELS));

  map.bytes.subarray(SIZE).fill(0x55);
  await x11.put(canvas, second);
  await x11.get(canvas.pixmap, { segment, offset: 0, ...SIZES });
  assertEquals(pixels(sysv), new Uint32Array(PIXELS).fill(0x555555));

  // Memory that the server makes.
  const [own, taken] = await x11.createSegment(SIZE);
  using descriptors = taken;
  using memory = MemoryMap.fromFd(descriptors[0]!.fd);
  await x11.get(canvas.pixmap, { segment: own, offset: 0, ...SIZES });
  assertEquals(pixels(memory), pixels(sysv));

  // Memory that is too small, and a descriptor of something else.
  const refused = (error: number, action: Promise<unknown>) =>
    assertRejects(() => action, Error, `X11 error ${error}`);
  const BAD_VALUE = 2;
  const BAD_MATCH = 8;
  const BAD_ACCESS = 10;
  const end = { segment, offset: 4, ...SIZES };
  await refused(BAD_VALUE, x11.put(canvas, end));
  await refused(BAD_ACCESS, x11.get(canvas.pixmap, end));
  await refused(
    BAD_VALUE,
    x11.put(canvas, { ...end, segment: passed, offset: SIZE + 4 }),
  );
  using event = EventFd.create();
  await refused(BAD_MATCH, x11.attachFd(event));
  await refused(BAD_ACCESS, x11.attach(0x7fffffff)); // there is no such segment
  await x11.put(canvas, second); // it serves all the same
  server.kill();
  await server.ended();
});

/** A client of a compositor that has passed memory to it, as a pool of so many bytes. */
class WaylandClient implements Disposable {
  readonly wayland: Wayland;
  readonly #pool: number;
  readonly #surface: number;
  readonly #role: number;

  private constructor(
    wayland: Wayland,
    pool: number,
    surface: number,
    role: number,
  ) {
    this.wayland = wayland;
    this.#pool = pool;
    this.#surface = surface;
    this.#role = role;
  }

  static async connect(
    path: string,
    memory: DescriptorLike,
    size: number,
  ): Promise<WaylandClient> {
    const wayland = await Wayland.connect(path);
    const names = ["wl_compositor", "wl_shm", "xdg_wm_base"];
    const [compositor = 0, shm = 0, shell = 0] = await wayland.bind(...names);
    const pool = await wayland.create(shm, 0, [size], memory); // create_pool
    const surface = await wayland.create(compositor, 0, []); // create_surface
    const role = await wayland.create(shell, 2, [surface]); // get_xdg_surface
    await wayland.create(role, 1, []); // get_toplevel
    return new WaylandClient(wayland, pool, surface, role);
  }

  /** Waits until the window may be shown. */
  async configure(): Promise<void> {
    await this.wayland.request(this.#surface, 6, []); // commit
    const { args: [serial = 0] } = await this.until(this.#role);
    await this.wayland.request(this.#role, 4, [serial]); // ack_configure
  }

  createBuffer(offset: number): Promise<number> {
    const shape = [offset, WIDTH, HEIGHT, WIDTH * 4, XRGB8888];
    return this.wayland.create(this.#pool, 0, shape);
  }

  /** Shows what is in a buffer. */
  async show(buffer: number): Promise<void> {
    await this.wayland.request(this.#surface, 1, [buffer, 0, 0]); // attach
    await this.wayland.request(this.#surface, 2, [0, 0, WIDTH, HEIGHT]); // damage
    await this.wayland.request(this.#surface, 6, []); // commit
  }

  /** Waits for an event of an object. */
  async until(object: number): Promise<WaylandEvent> {
    for (;;) {
      const event = await this.wayland.event(TIMEOUT);
      if (event.object === object) return event;
    }
  }

  /** Waits until all requests are done. */
  async sync(): Promise<void> {
    await this.until(await this.wayland.create(DISPLAY, 0, []));
  }

  [Symbol.dispose](): void {
    this.wayland[Symbol.dispose]();
  }
}

leakTest("a Wayland compositor takes pixels from a sealed memory file", {
  needs: [noWayland],
}, async () => {
  using dir = scratch();
  const backend = "--backend=headless-backend.so";
  await using compositor = await startWayland(dir, [backend]);
  const path = dir.file("wayland");
  using file = MemoryFile.create("pixels", 2 * SIZE);
  file.seal(["shrink", "grow", "seal"]);
  {
    using client = await WaylandClient.connect(path, file, file.size);
    const first = await client.createBuffer(0);
    const second = await client.createBuffer(SIZE);
    await client.configure();
    await client.show(first);
    await client.show(second);
    await client.until(first); // release
    await client.sync();
  }

  /** The compositor reports an error of wl_shm. */
  const refuses = async (
    error: number,
    memory: DescriptorLike,
    size: number,
    offset: number,
  ) => {
    using client = await WaylandClient.connect(path, memory, size);
    await client.createBuffer(offset);
    await assertRejects(() => client.sync(), Error, `refuses: error ${error},`);
  };
  const INVALID_STRIDE = 1; // also: of a size that is wrong
  const INVALID_FD = 2;
  await refuses(INVALID_STRIDE, file, file.size, SIZE + 4); // ends after the pool
  await refuses(INVALID_STRIDE, file, 0, 0);
  using event = EventFd.create();
  await refuses(INVALID_FD, event, SIZE, 0);

  // Without seals, the memory can be smaller than the pool: found out when it is shown.
  using small = MemoryFile.create("too small", SIZE / 2);
  using client = await WaylandClient.connect(path, small, SIZE);
  await client.configure();
  await client.show(await client.createBuffer(0));
  const NEVER = 0;
  await assertRejects(() => client.until(NEVER), Error, `error ${INVALID_FD},`);

  const options = {
    env: { XDG_RUNTIME_DIR: dir.path, WAYLAND_DISPLAY: "wayland" },
  };
  const args = ["--pictures", "5"];
  assertPrinted(
    await runExample("wayland_window.ts", args, options),
    "shown 5",
  );
  compositor.kill();
  await compositor.ended();
});

leakTest("the window of an example is seen on the screen", {
  needs: [noX11, noWayland],
}, async () => {
  const [child, display] = await startX11();
  await using server = child;
  using dir = scratch();
  await using compositor = await startWayland(dir, [
    "--backend=x11-backend.so",
    "--shell=kiosk-shell.so",
    `--width=${WIDTH}`,
    `--height=${HEIGHT}`,
  ], { DISPLAY: `:${display}` });
  using x11 = await connectX11(display);
  using file = MemoryFile.create("screen", SIZE);
  using map = file.map();
  const segment = await x11.attachFd(file);
  await using window = startExample("wayland_window.ts", [
    "--path",
    dir.file("wayland"),
  ]);
  /** The number of the picture that the screen shows, or -1. */
  const shown = async () => {
    await x11.get(x11.root, { segment, offset: 0, ...SIZES });
    const screen = pixels(map);
    const number = screen[0]! >>> 16; // what the example draws
    const isPattern = screen.every((pixel, i) => {
      const x = (i % WIDTH + number) & 255;
      const y = (Math.floor(i / WIDTH) + number) & 255;
      return pixel === (x << 16 | y << 8 | (x ^ y));
    });
    return isPattern ? number : -1;
  };
  let first = -1;
  await until(async () => (first = await shown()) !== -1, "a picture");
  await until(
    async () => ![-1, first].includes(await shown()),
    "another picture",
  );
  for (const program of [window, compositor, server]) {
    program.kill();
    await program.ended();
  }
});
