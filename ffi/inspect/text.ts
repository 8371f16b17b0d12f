// Text that others chose, made fit to be shown: names, paths and command lines can have
// control characters, which a terminal would obey.

// C0 and C1 controls, separators of lines, and what changes the direction of text.
const UNFIT =
  // deno-lint-ignore no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffd]/g;

const NAMED: Record<string, string> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\x1b": "\\e",
};

/** A text without control characters: they are escaped as in C, such as `\e` or `\x07`. */
export function printable(text: string): string {
  return text.replaceAll("\\", "\\\\").replace(UNFIT, (character) => {
    const code = character.charCodeAt(0);
    return NAMED[character] ??
      (code < 256
        ? `\\x${code.toString(16).padStart(2, "0")}`
        : `\\u${code.toString(16).padStart(4, "0")}`);
  });
}
