/** The last part of a path, without `suffix` if it ends in it. */
export function basename(path: string | URL, suffix?: string): string;

/** A path without its last part. */
export function dirname(path: string | URL): string;

/** The path a `file:` URL stands for. */
export function fromFileUrl(url: string | URL): string;

/** Whether a path starts at the root. */
export function isAbsolute(path: string): boolean;

/** The parts put together to one path, without `.`, `..` and double slashes. */
export function join(path: string | URL, ...paths: string[]): string;

/** The path that leads from `from` to `to`. */
export function relative(from: string, to: string): string;

/** One absolute path out of parts, of which a later absolute one wins. */
export function resolve(...pathSegments: string[]): string;

/** The `file:` URL of an absolute path. */
export function toFileUrl(path: string): URL;
