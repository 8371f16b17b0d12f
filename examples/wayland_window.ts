// A window whose pixels are in shared memory: a client of a Wayland compositor, which
// gets the descriptor of a memory file over its socket. The file has room for two
// pictures: one is drawn while the other is shown, and a few words tell which.

import { resolve } from "node:path";
import process from "node:process";
import { MemoryFile } from "@linux/ipc/shared-memory";
import { commandLine, main } from "./_cli.ts";
import { DISPLAY, Wayland } from "./_wayland.ts";

const HELP = `Usage: wayland_window.ts [--path PATH] [--pictures COUNT]

Shows a moving pattern in a window, until that is closed. Without a screen, start
  weston --backend=headless-backend.so

Options:
  --path PATH       the socket of the compositor (default: that of $WAYLAND_DISPLAY)
  --pictures COUNT  end after so many pictures
  --help            show this`;

const WIDTH = 320;
const HEIGHT = 240;
const PIXELS = WIDTH * HEIGHT;
const ROW = WIDTH * 4; // bytes: a pixel has 4
const SIZE = PIXELS * 4;
const XRGB8888 = 1; // a pixel is 0xRRGGBB

/** The pictures in the memory: each a buffer of the compositor, and its pixels. */
type Pictures = Map<number, Uint32Array>;

/** Passes the memory to the compositor, and makes a buffer for each picture in it. */
async function share(
  wayland: Wayland,
  shm: number,
  file: MemoryFile,
  memory: ArrayBuffer,
): Promise<Pictures> {
  const pool = await wayland.create(shm, 0, [file.size], file); // create_pool
  const pictures: Pictures = new Map();
  for (let offset = 0; offset < file.size; offset += SIZE) {
    const shape = [offset, WIDTH, HEIGHT, ROW, XRGB8888];
    const buffer = await wayland.create(pool, 0, shape); // create_buffer
    pictures.set(buffer, new Uint32Array(memory, offset, PIXELS));
  }
  return pictures;
}

/** Draws a picture; the pattern moves with its number. */
function draw(pixels: Uint32Array, number: number): void {
  for (let i = 0; i < PIXELS; i++) {
    const x = (i % WIDTH + number) & 255;
    const y = (i / WIDTH + number) & 255;
    pixels[i] = x << 16 | y << 8 | (x ^ y);
  }
}

/** Shows a buffer. The next one may follow when the compositor has deleted `frame`. */
async function show(
  wayland: Wayland,
  surface: number,
  buffer: number,
  frame: number,
): Promise<void> {
  await wayland.request(surface, 1, [buffer, 0, 0]); // attach
  await wayland.request(surface, 2, [0, 0, WIDTH, HEIGHT]); // damage
  await wayland.request(surface, 3, [frame]); // frame
  await wayland.request(surface, 6, []); // commit
}

/** Shows so many pictures; returns how many it were when the window was closed. */
async function run(wayland: Wayland, count: number): Promise<number> {
  using file = MemoryFile.create("pictures", 2 * SIZE);
  file.seal(["shrink", "grow", "seal"]); // the compositor need not fear SIGBUS
  using map = file.map();
  const names = ["wl_compositor", "wl_shm", "xdg_wm_base"];
  const [compositor = 0, shm = 0, shell = 0] = await wayland.bind(...names);
  const pictures = await share(wayland, shm, file, map.bytes.buffer);
  const surface = await wayland.create(compositor, 0, []); // create_surface
  const role = await wayland.create(shell, 2, [surface]); // get_xdg_surface
  const window = await wayland.create(role, 1, []); // get_toplevel
  await wayland.request(surface, 6, []); // commit: "configure" is the answer

  const frame = wayland.newObject();
  const free = [...pictures.keys()]; // what the compositor does not read
  let isDue = false;
  for (let drawn = 0;;) {
    const { object, event, args: [value = 0] } = await wayland.event();
    if (object === window && event === 1) return drawn; // close
    if (object === shell) await wayland.request(shell, 3, [value]); // ping: pong
    if (object === role) await wayland.request(role, 4, [value]); // ack_configure
    if (pictures.has(object)) free.push(object); // release
    isDue ||= object === role && drawn === 0; // configure: the first may be shown
    isDue ||= object === DISPLAY && value === frame; // delete_id: the frame was shown
    if (isDue && drawn >= count) return drawn;
    if (!isDue || free.length === 0) continue;
    isDue = false;
    const buffer = free.shift()!;
    draw(pictures.get(buffer)!, drawn++);
    await show(wayland, surface, buffer, frame);
  }
}

await main(async () => {
  const line = commandLine(HELP, { values: ["path", "pictures"] });
  const pictures = line.integer("pictures") ?? Infinity;
  const { XDG_RUNTIME_DIR = "", WAYLAND_DISPLAY = "wayland-0" } = process.env;
  const path = line.value("path") ?? resolve(XDG_RUNTIME_DIR, WAYLAND_DISPLAY);
  using wayland = await Wayland.connect(path);
  const count = await run(wayland, pictures);
  console.log(`shown ${count}`);
});
