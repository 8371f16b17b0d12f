// Colours, where the output is a terminal and NO_COLOR is not set.

/** Makes text of a kind. */
export type Paint = (text: string) => string;

/** The colours of the output. */
export interface Style {
  readonly heading: Paint;
  readonly good: Paint;
  readonly dim: Paint;
  readonly warning: Paint;
  readonly bad: Paint;
}

function paint(code: number, isOn: boolean): Paint {
  return isOn ? (text) => `\x1b[${code}m${text}\x1b[0m` : (text) => text;
}

/** The style for standard output. */
export function styleOf(isColored: boolean): Style {
  return {
    heading: paint(1, isColored),
    good: paint(32, isColored),
    dim: paint(2, isColored),
    warning: paint(33, isColored),
    bad: paint(31, isColored),
  };
}

/** Whether standard output takes colours. */
export function takesColors(): boolean {
  return Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR") &&
    Deno.env.get("TERM") !== "dumb";
}

/** How a verdict is painted. */
export function paintOf(style: Style, state: string): Paint {
  if (state === "stuck") return style.bad;
  if (state === "orphaned") return style.warning;
  return state === "idle" ? style.dim : style.good;
}
