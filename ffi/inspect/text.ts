// Text that others chose, made fit to be shown: names, paths and command lines can have
// control characters, which a terminal would obey.

// C0 and C1 controls, separators of lines, what is invisible or changes the direction of
// text, and bytes that are not UTF-8.
const UNFIT =
  // deno-lint-ignore no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffd\u061c\u180e\u{e0000}-\u{e007f}\p{Surrogate}]/gu;

const NAMED: Record<string, string> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\x1b": "\\e",
};

/** A text without control characters: they are escaped as in C, such as `\e` or `\x07`. */
export function printable(text: string): string {
  return text.replaceAll("\\", "\\\\").replace(UNFIT, (character) => {
    const point = character.codePointAt(0)!;
    // As decodeName() has bytes that are not UTF-8.
    const code = point > 0xdc00 && point <= 0xdcff ? point - 0xdc00 : point;
    return NAMED[character] ??
      (code < 256
        ? `\\x${code.toString(16).padStart(2, "0")}`
        : code < 0x10000
        ? `\\u${code.toString(16).padStart(4, "0")}`
        : `\\u{${code.toString(16)}}`);
  });
}
