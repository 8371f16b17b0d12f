/** Removes what a run has left behind, and tells what that was. */
import { PosixMessageQueue } from "../../mod.ts";
import { sysvTable } from "../support/leaks.ts";
import { MARK } from "./log.ts";

const KINDS = [["msg", "msqid", "-q"], ["shm", "shmid", "-m"], [
  "sem",
  "semid",
  "-s",
]] as const;

/** Removes what the child of that process id, which has ended, has left. */
export function cleanUp(pid: number, lines: readonly string[]): string[] {
  const objects = new Set(
    lines.filter((line) => line.startsWith(MARK.object))
      .map((line) => line.slice(MARK.object.length)),
  );
  return [
    ...removeSysv(pid, objects),
    ...removeQueues(objects),
    ...removeFiles("/dev/shm", new RegExp(`ipc${pid}x|ipc-${pid}-`)),
    ...removeFiles("/tmp", new RegExp(`^ipc${pid}x`)),
  ];
}

function removeSysv(pid: number, objects: Set<string>): string[] {
  const removed: string[] = [];
  for (const [kind, column, flag] of KINDS) {
    for (const row of sysvTable(kind)) {
      const id = row[column]!;
      const isMine = objects.has(`${kind} ${id}`) ||
        objects.has(`key ${row.key! | 0}`) ||
        [row.cpid, row.lspid, row.lrpid].includes(pid);
      if (!isMine) continue;
      new Deno.Command("ipcrm", { args: [flag, `${id}`], stderr: "null" })
        .outputSync();
      removed.push(`System V ${kind} ${id}`);
    }
  }
  return removed;
}

function removeQueues(objects: Set<string>): string[] {
  return [...objects].filter((object) => {
    if (!object.startsWith("name ")) return false;
    try {
      PosixMessageQueue.unlink(object.slice("name ".length));
      return true;
    } catch {
      return false; // it is no queue's, or it is gone
    }
  });
}

function removeFiles(directory: string, mine: RegExp): string[] {
  const removed: string[] = [];
  for (const { name } of Deno.readDirSync(directory)) {
    if (!mine.test(name)) continue;
    Deno.removeSync(`${directory}/${name}`, { recursive: true });
    removed.push(`${directory}/${name}`);
  }
  return removed;
}
