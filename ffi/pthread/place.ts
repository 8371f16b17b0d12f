// Where an object of C is: at an offset of a memory.

import { checkInteger } from "../arguments.ts";
import type { Ending } from "../kernel/closing.ts";
import { Liveness } from "../kernel/liveness.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { isMusl } from "../libc/library.ts";
import { pthread } from "../libc/pthread.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { mappingOf, type Memory } from "../memory/memory.ts";
import { checkCode } from "./check_code.ts";

const PAGE = 12n; // the binary logarithm of the smallest size of a page

/** A type of C, such as pthread_mutex_t. */
export interface ObjectType {
  /** Name used in error messages. */
  readonly name: string;
  /** The name of the type in C. */
  readonly cName: string;
  readonly size: number;
  readonly align: number;
}

type Initialise =
  | "pthread_mutex_init"
  | "pthread_cond_init"
  | "pthread_rwlock_init";

/** The place of an object in a mapping. */
export class Place {
  readonly mapping: Mapping;
  readonly offset: number;
  readonly address: bigint;
  /** Name used in error messages. */
  readonly subject: string;
  /** The bytes. They stay when the mapping is closed: use them while it is mapped. */
  readonly buffer: ArrayBuffer;
  readonly #last: bigint; // a word in the last page

  constructor(mapping: Mapping, offset: number, type: ObjectType) {
    mapping.checkWritable();
    if (isMusl()) {
      throw new runtime.errors.NotSupported(
        `Cannot use a ${type.cName} here: this module knows those of glibc, and the C ` +
          "library of this process is musl",
      );
    }
    const { cName, size, align } = type;
    const most = mapping.length - size;
    checkInteger("offset", offset, 0, most, `${cName} in ${mapping.subject}`);
    const address = mapping.address + BigInt(offset);
    if (address % BigInt(align) !== 0n) {
      throw new RangeError(
        `Argument "offset" must be that of an address at a multiple of ${align} ` +
          `(_Alignof (${cName})): ${offset} is 0x${address.toString(16)}`,
      );
    }
    this.mapping = mapping;
    this.offset = offset;
    this.address = address;
    this.subject = `${type.name} at offset ${offset} of ${mapping.subject}`;
    this.buffer = runtime.bufferAt(address, size);
    const last = address + BigInt(size - 4);
    this.#last = last >> PAGE === address >> PAGE ? 0n : last & ~7n;
  }

  /** The place of an object in a memory. */
  static in(memory: Memory, offset: number, type: ObjectType): Place {
    return new Place(mappingOf(memory), offset, type);
  }

  /** EFAULT if another process has truncated the memory. */
  checkThere(): void {
    const { mapping } = this;
    if (!mapping.truncatable) return;
    mapping.checkUsed(this.address);
    if (this.#last !== 0n) mapping.checkUsed(this.#last);
  }

  /** Calls a function of libc that initialises the object. */
  initialise(name: Initialise, attr: Uint8Array<ArrayBuffer>): void {
    const { mapping } = this;
    mapping.checkWord(this.address);
    if (this.#last !== 0n) mapping.checkWord(this.#last);
    checkCode(pthread()[name](this.address, attr), name, this.subject);
  }

  /** A copy of the bytes, as words. What another process has truncated is EFAULT. */
  copyWords(): Int32Array {
    const words = new Int32Array(this.buffer.byteLength / 4);
    this.mapping.readChecked(this.offset, new Uint8Array(words.buffer));
    return words;
  }
}

/** What is made of an object at a place of a mapping. */
interface Placed {
  readonly place: Place;
}

/** An object of a memory, wherever its mapping is: `resize()` can move it. */
export class Located<T extends Placed> implements Ending {
  readonly liveness: Liveness = new Liveness();
  readonly offset: number;
  readonly #memory: Memory;
  readonly #create: (mapping: Mapping, offset: number) => T;
  #present: T;

  constructor(
    memory: Memory,
    offset: number,
    create: (mapping: Mapping, offset: number) => T,
  ) {
    this.#memory = memory;
    this.offset = offset;
    this.#create = create;
    this.#present = create(mappingOf(memory), offset);
  }

  /** The object, also if the memory was closed, or moved by `resize()`. */
  get present(): T {
    return this.#present;
  }

  /** The object. Throws if the memory is closed. */
  get(): T {
    const present = this.#present;
    return present.place.mapping.closed ? this.#locate() : present;
  }

  /** `resize()` closes a mapping that it replaces. */
  #locate(): T {
    const mapping = mappingOf(this.#memory);
    mapping.checkOpen();
    return this.#present = this.#create(mapping, this.offset);
  }

  /** Name used in error messages. */
  get subject(): string {
    return this.#present.place.subject;
  }

  /** Calls `listener` when the memory is closed, or moved by `resize()`. */
  listen(listener: () => void): () => void {
    return mappingOf(this.#memory).closing.listen(listener);
  }
}

/** The error of bytes that are not an object which processes share. */
export function notShared(
  place: Place,
  type: ObjectType,
  fault: string,
): TypeError {
  return new TypeError(
    `Cannot use ${place.subject} as a ${type.cName} that processes share: ${fault}`,
  );
}
