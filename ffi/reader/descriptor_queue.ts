// The descriptors that came with the bytes of a stream, until they are taken.

import type { PassedDescriptor } from "../socket/passed_descriptor.ts";
import { descriptorsLost } from "./failures.ts";

/** A descriptor that has arrived, and is not taken yet. */
export interface ArrivedDescriptor {
  /** Where in the stream it came: the number of bytes before the one it came with. */
  readonly position: number;
  /** The descriptor. The reader owns it until it is taken. */
  readonly descriptor: PassedDescriptor;
}

/** Descriptors in the order of their arrival. */
export class DescriptorQueue {
  /** How many it takes. */
  readonly max: number;
  readonly #breaks: boolean;
  #arrived: ArrivedDescriptor[] = [];
  #loss: number | undefined; // the position of bytes whose descriptors are lost

  /** `breaks` says whether the error of a loss comes again and again. */
  constructor(max: number, breaks: boolean) {
    this.max = max;
    this.#breaks = breaks;
  }

  /** Those that are not taken yet. */
  get arrived(): readonly ArrivedDescriptor[] {
    return [...this.#arrived];
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#arrived.length === 0;
  }

  /** How many more it takes. */
  get room(): number {
    return this.max - this.#arrived.length;
  }

  /** Adds descriptors that came with the byte at a position. */
  add(position: number, descriptors: readonly PassedDescriptor[]): void {
    for (const descriptor of descriptors) {
      this.#arrived.push({ position, descriptor });
    }
  }

  /** Takes those that came before a position, at most so many. */
  take(before: number, count: number): PassedDescriptor[] {
    const later = this.#arrived.findIndex(({ position }) => position >= before);
    const size = later === -1 ? this.#arrived.length : later;
    const taken = this.#arrived.splice(0, Math.min(size, count));
    return taken.map(({ descriptor }) => descriptor);
  }

  /** Notes that descriptors which came with the byte at a position are lost. */
  addLoss(position: number): void {
    this.#loss ??= position;
  }

  /** Throws if descriptors of bytes before a position are lost. */
  checkLoss(before: number): void {
    if (this.#loss === undefined || this.#loss >= before) return;
    if (this.#breaks) this.close();
    else this.#loss = undefined;
    throw descriptorsLost(this.max);
  }

  /** Closes those that are not taken. */
  close(): void {
    for (const { descriptor } of this.#arrived.splice(0)) descriptor.close();
  }
}
