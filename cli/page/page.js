// The page: shows each snapshot that the server sends. It asks for nothing else, and puts
// text into the page as text only, because names are chosen by others.

const SAMPLES = 120; // that a chart has room for
const MOST_ROWS = 500;
const SVG = "http://www.w3.org/2000/svg";

/** The levels of each object so far, by ref. */
const history = new Map();
let snapshot;
let before = new Map();
let drawn; // the picture that was asked for last
let isDrawing = false;

const element = (id) => document.getElementById(id);

/** An element with text or children in it. */
function make(name, children = [], properties = {}) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...[children].flat());
  return made;
}

/** A line of the levels of an object, and its limit as a dashed one. */
function chart(levels, max, width, height) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  const top = Math.max(max ?? 0, ...levels, 1);
  const y = (level) => height - 2 - (height - 4) * level / top;
  const line = (points, kind) => {
    const polyline = document.createElementNS(SVG, "polyline");
    polyline.setAttribute("points", points);
    if (kind) polyline.setAttribute("class", kind);
    svg.append(polyline);
  };
  if (max) line(`0,${y(max)} ${width},${y(max)}`, "limit");
  const step = width / (SAMPLES - 1);
  line(levels.map((level, index) => `${index * step},${y(level)}`).join(" "));
  return svg;
}

function levelText({ level, max, unit }) {
  return max === null ? `${level} ${unit}` : `${level} of ${max} ${unit}`;
}

function remember(objects) {
  const refs = new Set(objects.map(({ ref }) => ref));
  for (const ref of history.keys()) if (!refs.has(ref)) history.delete(ref);
  for (const { ref, fill } of objects) {
    if (fill === null) continue;
    const levels = history.get(ref) ?? [];
    levels.push(fill.level);
    if (levels.length > SAMPLES) levels.shift();
    history.set(ref, levels);
  }
}

function showAlarms({ objects, deadlocks }) {
  const alarms = objects.filter(({ state }) =>
    state === "stuck" || state === "orphaned"
  );
  element("alarms").replaceChildren(
    ...deadlocks.map((text) => make("li", text, { className: "stuck" })),
    ...alarms.slice(0, 50).map(({ ref, state, reason }) =>
      make("li", [
        make("span", state, { className: state }),
        ` ${ref}: ${reason}`,
      ])
    ),
    ...(alarms.length === 0 ? [make("li", "None")] : []),
  );
}

function showCharts({ objects }) {
  const level = ({ fill }) => fill.max ? fill.level / fill.max : 0;
  const most = objects.filter(({ fill }) => fill !== null && fill.max !== null)
    .sort((a, b) => level(b) - level(a)).slice(0, 12);
  element("charts").replaceChildren(
    ...most.map(({ ref, name, fill }) =>
      make("figure", [
        chart(history.get(ref), fill.max, 180, 48),
        make("figcaption", `${name}: ${levelText(fill)}`, { title: ref }),
      ])
    ),
    ...(most.length === 0 ? [make("p", "Nothing that can be full")] : []),
  );
}

function isMeant(object, words, state) {
  if (state !== "" && object.state !== state) return false;
  const { kind, name, reason, holders } = object;
  const text = [kind, name, object.state, reason, ...holders].join(" ")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

function showTable() {
  if (snapshot === undefined) return;
  const words = element("filter").value.toLowerCase().split(/\s+/)
    .filter((word) => word !== "");
  const state = element("state").value;
  const meant = snapshot.objects.filter((object) =>
    isMeant(object, words, state)
  );
  const shown = meant.slice(0, MOST_ROWS);
  element("count").textContent = `${meant.length} of ` +
    `${snapshot.objects.length} objects` +
    (shown.length < meant.length ? `, the first ${MOST_ROWS} shown` : "");
  element("objects").replaceChildren(...shown.map(row));
}

function row(object) {
  const { ref, kind, name, state, certain, reason, fill, holders } = object;
  const isChanged = before.size > 0 && before.get(ref) !== summaryOf(object);
  return make("tr", [
    make("td", kind),
    make("td", name, { title: ref }),
    make("td", certain || state !== "orphaned" ? state : `${state}?`, {
      className: state,
    }),
    make("td", fill === null ? "" : levelText(fill)),
    make(
      "td",
      fill === null ? [] : [
        chart(history.get(ref), fill.max, 90, 18),
      ],
    ),
    make("td", holders.slice(0, 8).join(", ")),
    make("td", reason),
  ], { className: isChanged ? "changed" : "" });
}

function summaryOf({ state, fill, holders }) {
  return JSON.stringify([state, fill?.level, holders]);
}

function show(next) {
  before = new Map(
    snapshot?.objects.map((object) => [object.ref, summaryOf(object)]),
  );
  snapshot = next;
  remember(next.objects);
  const stuck = next.objects.filter(({ state }) => state === "stuck").length;
  element("summary").textContent =
    `${next.time}: ${next.objects.length} objects, ${next.processes} processes, ` +
    `${stuck} stuck`;
  showAlarms(next);
  showCharts(next);
  showTable();
  element("unseen").replaceChildren(
    ...next.unseen.map((text) => make("li", text)),
    ...(next.unseen.length === 0 ? [make("li", "Nothing")] : []),
  );
  showPicture();
}

/** Asks for the present picture, one at a time: to draw one takes a while. */
function showPicture() {
  if (isDrawing || snapshot.graph === drawn) return;
  isDrawing = true;
  drawn = snapshot.graph;
  element("graph").src = `graph.svg?of=${drawn}`;
}

element("filter").addEventListener("input", showTable);
element("state").addEventListener("change", showTable);
element("graph").addEventListener("load", () => {
  isDrawing = false;
  showPicture();
});
element("graph").addEventListener("error", () => {
  isDrawing = false;
  element("graph").alt = "The graph cannot be drawn: see the server's messages";
});
const { port } = new SharedWorker("worker.js");
port.addEventListener("message", ({ data }) => {
  if (data.error === undefined) show(data);
  else element("summary").textContent = data.error;
});
port.start();
