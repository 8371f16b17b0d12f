// What all that carries whole messages does.

import { exit } from "../process.ts";
import { play, playAsync, task } from "../task.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Outgoing {
  sendSync(message: Bytes): void;
  send(message: Bytes): Promise<void>;
}

interface Incoming {
  receiveSync(options: { buffer: Bytes }): unknown;
  receive(options: { buffer: Bytes }): Promise<unknown>;
}

/**
 * Plays with messages, which come in one buffer that is longer than them if `space`
 * says so: C does not make one each time, either.
 */
export async function playMessages(
  outgoing: Outgoing,
  incoming: Incoming,
  space: number = task.size,
): Promise<never> {
  const message = new Uint8Array(task.size);
  const buffer = new Uint8Array(space);
  if (task.mode === "sync") {
    play({
      send: () => outgoing.sendSync(message),
      receive: () => void (incoming.receiveSync({ buffer }) ?? exit()),
    });
  }
  return await playAsync({
    send: () => outgoing.send(message),
    receive: async () => await incoming.receive({ buffer }) ?? exit(),
  });
}
