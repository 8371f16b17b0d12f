/** Programs for which the kernel refuses a system call: a seccomp filter. */
import { compileText } from "./c.ts";

const REFUSE = `
  #include <linux/filter.h>
  #include <linux/seccomp.h>
  #include <stddef.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <sys/prctl.h>
  #include <sys/syscall.h>
  #include <errno.h>
  #include <unistd.h>

  #define LOAD(field) \\
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
  #define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)

  #define ABOVE(value, skip) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, value, 0, skip)

  int main(int argc, char **argv) {
    struct sock_filter filter[] = {
      LOAD(nr),
#ifdef LAST
      ABOVE(LAST, 1),
#else
      UNLESS(CALL, 3),
      LOAD(args[ARGUMENT]),
      UNLESS(VALUE, 1),
#endif
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ERROR),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
      perror("seccomp");
      return 1;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
  }`;

/** Which calls are refused: those that have this value as this argument. */
export interface Refusal {
  /** The name of the system call, such as "statx". */
  call: string;
  /** Which argument is looked at, from 0; its lower 32 bits. */
  argument: number;
  /** What it must be, for C. */
  value: number | string;
  /** What the call fails with, such as "EIO". */
  error: string;
}

/** A wrapper that runs a command for which the kernel refuses such calls. */
export async function refusing(refusal: Refusal): Promise<string[]> {
  const { call, argument, value, error } = refusal;
  return [
    await compileText(
      REFUSE,
      `-DCALL=SYS_${call}`,
      `-DARGUMENT=${argument}`,
      `-DVALUE=${value}`,
      `-DERROR=${error}`,
    ),
  ];
}

/**
 * A wrapper that runs a command for which the kernel has only the system calls up to
 * one of them, in the order of their numbers: like an older kernel, as far as programs
 * can tell.
 */
export async function upToCall(last: string): Promise<string[]> {
  return [await compileText(REFUSE, `-DLAST=SYS_${last}`, "-DERROR=ENOSYS")];
}
