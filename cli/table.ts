// Tables of text, aligned by the columns of a terminal.

// Characters that a terminal shows in two columns, and those that it adds to another one.
const WIDE =
  /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Emoji_Presentation}|[\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const NONE = /\p{Mark}|\u200d/u;
// deno-lint-ignore no-control-regex
const ESCAPES = /\x1b\[\d+m/g;

/** The number of columns that a text takes. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text.replace(ESCAPES, "")) {
    width += NONE.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/** A text of a certain width at most; what is cut away is an ellipsis. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let result = "";
  let used = 0;
  for (const character of text.replace(ESCAPES, "")) {
    const next = widthOf(character);
    if (used + next > width - 1) break;
    result += character;
    used += next;
  }
  return `${result}…`;
}

/** A column: its heading, and how its cells are aligned. */
export interface Column {
  readonly heading: string;
  readonly align?: "right";
}

/**
 * The lines of a table. With a width the last column is cut to fit into it; the others
 * are never cut.
 */
export function tableOf(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number = Infinity,
  heading: (text: string) => string = (text) => text,
): string[] {
  const widths = columns.map(({ heading }, index) =>
    rows.reduce(
      (most, row) => Math.max(most, widthOf(row[index] ?? "")),
      widthOf(heading),
    )
  );
  const line = (cells: readonly string[]) => {
    let used = 0;
    return cells.map((cell, index) => {
      const isLast = index === columns.length - 1;
      if (isLast && columns[index]!.align === undefined) {
        return cut(cell, Math.max(width - used, 10));
      }
      const space = " ".repeat(widths[index]! - widthOf(cell));
      used += widths[index]! + 1;
      return columns[index]!.align === "right" ? space + cell : cell + space;
    }).join(" ").trimEnd();
  };
  return [
    heading(line(columns.map(({ heading }) => heading))),
    ...rows.map(line),
  ];
}
