// Graphs as text: DOT of Graphviz, and Mermaid.

import type { Edge, Graph, Node } from "./graph_model.ts";

const COLORS: Record<string, { fill: string; line: string }> = {
  process: { fill: "#ffffff", line: "#334155" },
  "in use": { fill: "#e6f4ea", line: "#2e7d32" },
  idle: { fill: "#f1f3f4", line: "#80868b" },
  orphaned: { fill: "#fef3d8", line: "#b26a00" },
  stuck: { fill: "#fde7e6", line: "#b3261e" },
};
const WAITING = "#b3261e";
const ARROWS = { one: "forward", both: "both", none: "none" };

/** A string of DOT. Text that is shown has no control characters any more. */
function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function dotLabel({ lines }: Node): string {
  return lines.map((line) => quoted(line).slice(1, -1)).join("\\n");
}

/** The graph in the language of Graphviz. */
export function dotOf({ nodes, edges }: Graph): string {
  const lines = nodes.map((node) => {
    const { fill, line } = COLORS[node.state]!;
    const shape = node.isProcess ? "ellipse" : "box";
    return `  ${quoted(node.id)} [label="${dotLabel(node)}", shape=${shape}, ` +
      `style="filled,rounded", fillcolor="${fill}", color="${line}"];`;
  });
  const arrows = edges.map(({ from, to, label, waits, directions }) =>
    `  ${quoted(from)} -> ${quoted(to)} [label=${quoted(label)}, ` +
    `dir=${ARROWS[directions]}${
      waits ? `, color="${WAITING}", fontcolor="${WAITING}", style=dashed` : ""
    }];`
  );
  return `digraph ipc {
  rankdir=LR;
  node [fontname="sans-serif", fontsize=11, margin="0.2,0.08"];
  edge [fontname="sans-serif", fontsize=9, color="#5f6368"];
${[...lines, ...arrows].join("\n")}
}
`;
}

/** A label of Mermaid, whose special characters are entities. */
function entities(text: string): string {
  return text.replace(
    /[^\p{Letter}\p{Number} .,:;()/_-]/gu,
    (character) => `#${character.codePointAt(0)};`,
  );
}

const LINKS: Record<Edge["directions"], [solid: string, dotted: string]> = {
  one: ["-->", "-.->"],
  both: ["<-->", "<-.->"],
  none: ["---", "-.-"],
};

/** The graph as a flowchart of Mermaid. */
export function mermaidOf({ nodes, edges }: Graph): string {
  const names = new Map(nodes.map(({ id }, index) => [id, `n${index}`]));
  const classes = Object.entries(COLORS).map(([state, { fill, line }]) =>
    `  classDef ${
      state.replace(" ", "")
    } fill:${fill},stroke:${line},color:#202124`
  );
  const boxes = nodes.map(({ id, isProcess, lines, state }) => {
    const label = `"${lines.map(entities).join("<br/>")}"`;
    const shape = isProcess ? `([${label}])` : `[${label}]`;
    return `  ${names.get(id)}${shape}:::${state.replace(" ", "")}`;
  });
  const links = edges.map(({ from, to, label, waits, directions }) => {
    const link = LINKS[directions][waits ? 1 : 0];
    const text = label === "" ? "" : `|"${entities(label)}"|`;
    return `  ${names.get(from)} ${link}${text} ${names.get(to)}`;
  });
  return `flowchart LR\n${[...classes, ...boxes, ...links].join("\n")}\n`;
}
