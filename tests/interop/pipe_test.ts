import { assertEquals } from "@std/assert";
import { exampleTest, peerTest, runExample, runPeer } from "./peers.ts";

const MESSAGE = "child got message : message from parent";

/** The lines that are not empty. */
function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

exampleTest("pipe.ts prints what the child got, and nothing else", async () => {
  for (let round = 0; round < 5; round++) {
    const { code, stdout, stderr } = await runExample("pipe.ts");
    assertEquals({ code, lines: lines(stdout), stderr }, {
      code: 0,
      lines: [MESSAGE],
      stderr: "",
    });
  }
});

exampleTest("pipe.ts runs in any working directory", async () => {
  const { code, stdout } = await runExample("pipe.ts", [], { cwd: "/" });
  assertEquals({ code, lines: lines(stdout) }, { code: 0, lines: [MESSAGE] });
});

peerTest("pipe.ts prints the lines of the C program", async () => {
  const example = await runExample("pipe.ts");
  const peer = await runPeer("child_pipe");
  assertEquals(lines(example.stdout), lines(peer.stdout));
  assertEquals(example.code, peer.code);
});
