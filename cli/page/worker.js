// Gets the snapshots for all tabs of a browser, which has few connections to a server.

const ports = [];
let last;

function tell(message) {
  last = message;
  for (const port of ports) port.postMessage(message);
}

const events = new EventSource("events");
events.addEventListener("message", ({ data }) => tell(JSON.parse(data)));
events.addEventListener(
  "error",
  () => tell({ error: "The server does not answer" }),
);

self.addEventListener("connect", ({ ports: [port] }) => {
  ports.push(port);
  if (last !== undefined) port.postMessage(last);
});
