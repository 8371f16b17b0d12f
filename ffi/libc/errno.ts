// <errno.h>: the numbers, their names, and the converters that turn the result
// of a C call into a value or an IpcError. Nothing else makes an IpcError.

import { IpcError, type SystemLimit } from "../errors.ts";
import { errno, header } from "./library.ts";
import { resourceLimit, RLIMIT_NOFILE } from "./sys_resource.ts";

export { errno };

/** The same on every machine that Deno runs on (asm-generic). */
const NAMES: Record<number, string> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  10: "ECHILD",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  15: "ENOTBLK",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  25: "ENOTTY",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  29: "ESPIPE",
  30: "EROFS",
  31: "EMLINK",
  32: "EPIPE",
  33: "EDOM",
  34: "ERANGE",
  35: "EDEADLK",
  36: "ENAMETOOLONG",
  37: "ENOLCK",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  42: "ENOMSG",
  43: "EIDRM",
  44: "ECHRNG",
  45: "EL2NSYNC",
  46: "EL3HLT",
  47: "EL3RST",
  48: "ELNRNG",
  49: "EUNATCH",
  50: "ENOCSI",
  51: "EL2HLT",
  52: "EBADE",
  53: "EBADR",
  54: "EXFULL",
  55: "ENOANO",
  56: "EBADRQC",
  57: "EBADSLT",
  59: "EBFONT",
  60: "ENOSTR",
  61: "ENODATA",
  62: "ETIME",
  63: "ENOSR",
  64: "ENONET",
  65: "ENOPKG",
  66: "EREMOTE",
  67: "ENOLINK",
  68: "EADV",
  69: "ESRMNT",
  70: "ECOMM",
  71: "EPROTO",
  72: "EMULTIHOP",
  73: "EDOTDOT",
  74: "EBADMSG",
  75: "EOVERFLOW",
  76: "ENOTUNIQ",
  77: "EBADFD",
  78: "EREMCHG",
  79: "ELIBACC",
  80: "ELIBBAD",
  81: "ELIBSCN",
  82: "ELIBMAX",
  83: "ELIBEXEC",
  84: "EILSEQ",
  85: "ERESTART",
  86: "ESTRPIPE",
  87: "EUSERS",
  88: "ENOTSOCK",
  89: "EDESTADDRREQ",
  90: "EMSGSIZE",
  91: "EPROTOTYPE",
  92: "ENOPROTOOPT",
  93: "EPROTONOSUPPORT",
  94: "ESOCKTNOSUPPORT",
  95: "EOPNOTSUPP",
  96: "EPFNOSUPPORT",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  102: "ENETRESET",
  103: "ECONNABORTED",
  104: "ECONNRESET",
  105: "ENOBUFS",
  106: "EISCONN",
  107: "ENOTCONN",
  108: "ESHUTDOWN",
  109: "ETOOMANYREFS",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  112: "EHOSTDOWN",
  113: "EHOSTUNREACH",
  114: "EALREADY",
  115: "EINPROGRESS",
  116: "ESTALE",
  117: "EUCLEAN",
  118: "ENOTNAM",
  119: "ENAVAIL",
  120: "EISNAM",
  121: "EREMOTEIO",
  122: "EDQUOT",
  123: "ENOMEDIUM",
  124: "EMEDIUMTYPE",
  125: "ECANCELED",
  126: "ENOKEY",
  127: "EKEYEXPIRED",
  128: "EKEYREVOKED",
  129: "EKEYREJECTED",
  130: "EOWNERDEAD",
  131: "ENOTRECOVERABLE",
  132: "ERFKILL",
  133: "EHWPOISON",
};

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EPIPE = 32;
export const ERANGE = 34;
export const EDEADLK = 35;
export const ENOSYS = 38;
export const ENOMSG = 42;
export const EIDRM = 43;
export const EPROTO = 71;
export const EBADMSG = 74;
export const EOVERFLOW = 75;
export const ENOTSOCK = 88;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ETOOMANYREFS = 109;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EOWNERDEAD = 130;
export const ENOTRECOVERABLE = 131;

const libc = header({
  // int __xpg_strerror_r(int errnum, char *buf, size_t buflen)
  __xpg_strerror_r: { parameters: ["i32", "buffer", "u32"], result: "i32" },
});

/** The subject of a call. Turned into text only when the call has failed. */
export type Subject = string | number | undefined;

function describe(number: number): string {
  const text = new Uint8Array(256);
  libc().__xpg_strerror_r(number, text, text.length);
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}

/** The limit behind an error number that has the same cause in every call. */
function limitBehind(number: number): SystemLimit | undefined {
  return number === EMFILE || number === ETOOMANYREFS
    ? resourceLimit("RLIMIT_NOFILE", RLIMIT_NOFILE)
    : undefined;
}

/** The error of a call that failed with this number. */
export function ipcError(
  number: number,
  syscall: string,
  subject?: Subject,
  limit: SystemLimit | undefined = limitBehind(number),
): IpcError {
  return new IpcError({
    code: NAMES[number] ?? `errno ${number}`,
    errno: number,
    syscall,
    description: describe(number),
    subject: typeof subject === "number" ? String(subject) : subject,
    limit,
  });
}

/** The result of a C call that says -1 for "see errno". */
export function check(
  result: number,
  syscall: string,
  subject?: Subject,
): number {
  if (result === -1) throw ipcError(errno(), syscall, subject);
  return result;
}

/** The same, called again when a signal interrupted it. */
export function checkRetrying(
  call: () => number,
  syscall: string,
  subject?: Subject,
  limitOf: (number: number) => SystemLimit | undefined = limitBehind,
): number {
  for (;;) {
    const result = call();
    if (result !== -1) return result;
    const number = errno();
    if (number === EINTR) continue;
    throw ipcError(number, syscall, subject, limitOf(number));
  }
}

// The runtime changes errno where it waits for one of its locks for the first time: it
// looks for a file of /sys that virtual machines do not have. That happens at most once
// in a process, and seldom between a call that has failed and errno().
const MAX_DOUBTS = 3;
let doubts = 0;

/**
 * Whether ENOENT may be the runtime's, for a call that does not fail with it. It has done
 * nothing, and can be made again.
 */
export function isDoubtful(number: number): boolean {
  return number === ENOENT && doubts++ < MAX_DOUBTS;
}

/** Whether such a call is to be made again: a signal has interrupted it, or in doubt. */
export function isInterruption(number: number): boolean {
  return number === EINTR || isDoubtful(number);
}

const ALL_ONES = 0xffff_ffff_ffff_ffffn; // (void *) -1

/** Whether a C call that returns an address says "see errno". */
export function isNoAddress(address: bigint): boolean {
  return address === ALL_ONES || address === 0n;
}

/** The address that a C call returns, (void *) -1 or NULL for "see errno". */
export function checkAddress(
  address: bigint,
  syscall: string,
  subject?: Subject,
): bigint {
  if (isNoAddress(address)) throw ipcError(errno(), syscall, subject);
  return address;
}

/** Returns the result of a call; undefined if it fails with this error number. */
export function unless<T>(code: number, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if ((error as Partial<IpcError>).errno === code) return undefined;
    throw error;
  }
}
