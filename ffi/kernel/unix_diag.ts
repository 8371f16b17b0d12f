// The Unix sockets of this network namespace, as the kernel lists them over netlink:
// sock_diag(7). Unlike /proc/net/unix it tells the peer of each, and what is queued.

import { check, checkRetrying, ipcError } from "../libc/errno.ts";
import {
  NETLINK_SOCK_DIAG,
  nlattr,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_ALIGN,
  NLMSG_DONE,
  NLMSG_ERROR,
  nlmsghdr,
} from "../libc/linux_netlink.ts";
import { SOCK_DIAG_BY_FAMILY } from "../libc/linux_sock_diag.ts";
import {
  UDIAG_SHOW_NAME,
  UDIAG_SHOW_PEER,
  UDIAG_SHOW_RQLEN,
  UDIAG_SHOW_UID,
  UNIX_DIAG_NAME,
  UNIX_DIAG_PEER,
  UNIX_DIAG_RQLEN,
  UNIX_DIAG_UID,
  unixDiagMsg,
  unixDiagReq,
} from "../libc/linux_unix_diag.ts";
import {
  AF_NETLINK,
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_RAW,
  sysSocket,
} from "../libc/sys_socket.ts";
import { unistd } from "../libc/unistd.ts";

/** A Unix socket, as the kernel tells of it. */
export interface UnixSocketEntry {
  readonly inode: number;
  /** SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
  readonly type: number;
  /** The state, with the numbers of TCP: 1 connected, 7 not connected, 10 listening. */
  readonly state: number;
  /** The address: a path, or a NUL and an abstract name; empty without one. */
  readonly name: Uint8Array<ArrayBuffer>;
  /** The inode of the socket that it is connected to; 0 without one. */
  readonly peer: number;
  /** Bytes that wait to be read; of a listener the connections that wait. */
  readonly receiveQueue: number;
  /** Bytes that the peer has not read; of a listener the backlog. */
  readonly sendQueue: number;
  /** The user of the process that made it; undefined before Linux 5.3. */
  readonly uid: number | undefined;
}

/** The state of a socket that is connected, and of one that listens: those of TCP. */
export const SS_CONNECTED = 1;
export const SS_LISTENING = 10;

const { offsets } = unixDiagMsg;
const NO_NAME = new Uint8Array(0);
const SUBJECT = "sock_diag";
const SIZE = 32768; // of one answer, as the kernel makes them
const TRIES = 5;
const ALL_STATES = 0xffffffff;
const SHOW = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN |
  UDIAG_SHOW_UID;

/**
 * All Unix sockets. A list that changed while it was read may lack some: it is read
 * again, a few times.
 */
export function unixSockets(): Map<number, UnixSocketEntry> {
  for (let tries = 1;; tries++) {
    const all = new Map<number, UnixSocketEntry>();
    const isWhole = dump((entry) => all.set(entry.inode, entry));
    if (isWhole || tries === TRIES) return all;
  }
}

/** Calls `each` for each socket; false if the list changed meanwhile. */
function dump(each: (entry: UnixSocketEntry) => void): boolean {
  const { socket, send, recv } = sysSocket();
  const fd = check(
    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG),
    "socket",
    SUBJECT,
  );
  try {
    const request = requestOf();
    check(send(fd, request, request.length, 0), "send", SUBJECT);
    const answer = new Uint8Array(SIZE);
    let isWhole = true;
    for (;;) {
      const size = checkRetrying(
        () => recv(fd, answer, SIZE, 0),
        "recv",
        SUBJECT,
      );
      const state = readAnswer(answer.subarray(0, size), each);
      isWhole &&= state !== "changed";
      if (state === "done" || size === 0) return isWhole;
    }
  } finally {
    unistd().close(fd);
  }
}

function requestOf(): Uint8Array<ArrayBuffer> {
  const head = nlmsghdr.encode({
    nlmsg_len: nlmsghdr.size + unixDiagReq.size,
    nlmsg_type: SOCK_DIAG_BY_FAMILY,
    nlmsg_flags: NLM_F_REQUEST | NLM_F_DUMP,
    nlmsg_seq: 1,
    nlmsg_pid: 0,
  });
  const body = unixDiagReq.encode({
    sdiag_family: AF_UNIX,
    sdiag_protocol: 0,
    pad: 0,
    udiag_states: ALL_STATES,
    udiag_ino: 0,
    udiag_show: SHOW,
    udiag_cookie: new Uint8Array(8),
  });
  const request = new Uint8Array(head.length + body.length);
  request.set(head);
  request.set(body, head.length);
  return request;
}

/** Reads the messages of one answer. */
function readAnswer(
  answer: Uint8Array<ArrayBuffer>,
  each: (entry: UnixSocketEntry) => void,
): "more" | "changed" | "done" {
  let state: "more" | "changed" = "more";
  for (let offset = 0; offset + nlmsghdr.size <= answer.length;) {
    const { nlmsg_len, nlmsg_type, nlmsg_flags } = nlmsghdr.decode(
      answer,
      offset,
    );
    const start = offset + nlmsghdr.size;
    if (nlmsg_type === NLMSG_DONE) return "done";
    if (nlmsg_type === NLMSG_ERROR) {
      const view = new DataView(answer.buffer, start, 4);
      throw ipcError(-view.getInt32(0, true), "recv", SUBJECT);
    }
    if ((nlmsg_flags & NLM_F_DUMP_INTR) !== 0) state = "changed";
    each(entryOf(answer.subarray(start, offset + nlmsg_len)));
    offset += NLMSG_ALIGN(nlmsg_len);
  }
  return state;
}

/** The socket of one message: struct unix_diag_msg, and attributes. */
function entryOf(message: Uint8Array<ArrayBuffer>): UnixSocketEntry {
  const view = new DataView(
    message.buffer,
    message.byteOffset,
    message.byteLength,
  );
  const entry = {
    inode: view.getUint32(offsets.udiag_ino, true),
    type: view.getUint8(offsets.udiag_type),
    state: view.getUint8(offsets.udiag_state),
    name: NO_NAME,
    peer: 0,
    receiveQueue: 0,
    sendQueue: 0,
    uid: undefined as number | undefined,
  };
  for (
    let offset = unixDiagMsg.size;
    offset + nlattr.size <= view.byteLength;
  ) {
    const nla_len = view.getUint16(offset, true);
    const nla_type = view.getUint16(offset + 2, true);
    const start = offset + nlattr.size;
    if (nla_type === UNIX_DIAG_NAME) {
      entry.name = message.slice(start, offset + nla_len);
    } else if (nla_type === UNIX_DIAG_PEER) {
      entry.peer = view.getUint32(start, true);
    } else if (nla_type === UNIX_DIAG_RQLEN) {
      entry.receiveQueue = view.getUint32(start, true);
      entry.sendQueue = view.getUint32(start + 4, true);
    } else if (nla_type === UNIX_DIAG_UID) {
      entry.uid = view.getUint32(start, true);
    }
    offset += NLMSG_ALIGN(nla_len);
  }
  return entry;
}
