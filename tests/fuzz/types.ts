/** What the tables of calls are made of. */
import type { Fuzz } from "./fuzz.ts";

/** An argument, and how the log shows it. */
export interface Arg {
  /** What the call gets. */
  readonly value: unknown;
  /** What the log says. */
  readonly text: string;
  /** The timeout of a wait with plain options: no earlier may it end. */
  readonly timeout?: number;
  /** How many bytes there truly are: no call moves more. */
  readonly size?: number;
  /** A descriptor that belongs to the object that takes it over. */
  readonly given?: number;
}

/** Makes an argument: a valid one, or a hostile one where the run is hostile. */
export type Gen = (fuzz: Fuzz) => Arg;

/** The public calls of one class. */
export interface ClassTable {
  /** Makes one with valid arguments; what it returns is kept. */
  readonly make: (fuzz: Fuzz) => unknown;
  /** Static methods by name, with their arguments. */
  readonly statics?: Record<string, Gen[]>;
  /** Methods by name, with their arguments; "@@x" is `Symbol.x`. */
  readonly methods: Record<string, Gen[]>;
  /** Getters and fields: read, and in a hostile run assigned to. */
  readonly getters?: string[];
  /** Setters, with their value. */
  readonly setters?: Record<string, Gen>;
  /** Arguments for the constructor: JavaScript can call it. */
  readonly construct?: Gen[];
  /** What makes calls end when the object goes: not called as often. */
  readonly enders?: string[];
  /** How the object is recognised; by its class, if absent. */
  readonly is?: (value: object) => boolean;
}

/** The public calls of one mechanism. */
export interface Mechanism {
  /** Exported functions by name, with their arguments. */
  readonly functions?: Record<string, Gen[]>;
  /** Exported classes by name, or kinds of object that they return. */
  readonly classes: Record<string, ClassTable>;
}
