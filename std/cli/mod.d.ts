// The types are worked out from the options, as the original does it, but for
// one thing: a flag whose name has a dot in it is left `unknown` here.

/** Shows an intersection as one plain object type. */
type Flat<T> = { [K in keyof T]: T[K] };

/** The names that are known while type-checking, and have no dot. */
type Known<Name> = Name extends string ? string extends Name ? never
  : Name extends `${string}.${string}` ? never
  : Name
  : never;

/** What `--no-name` adds to the type of a flag. */
type Negated<Name, Negatable> = Name extends Negatable ? false : never;

/** The flags by name, before defaults and aliases. */
type Flags<Boolean, String, Collect, Negatable> = Flat<
  & { [K in Known<Exclude<Boolean, Collect>>]: boolean }
  & { [K in Known<Extract<Boolean, Collect>>]: boolean[] }
  & { [K in Known<Exclude<String, Collect>>]?: string | Negated<K, Negatable> }
  & { [K in Known<Extract<String, Collect>>]: string[] | Negated<K, Negatable> }
  & {
    [K in Known<Exclude<Collect, Boolean | String>>]:
      | unknown[]
      | Negated<K, Negatable>;
  }
>;

/** A flag that has a default is always there, as one or the other. */
type WithDefaults<F, Defaults> = Flat<
  & { [K in keyof F as K extends keyof Defaults ? never : K]: F[K] }
  & { [K in keyof F & keyof Defaults]: Defaults[K] | NonNullable<F[K]> }
>;

/** A flag is there under all its names. */
type WithAliases<F, Aliases> = {
  [K in keyof F as K | AliasOf<K, Aliases>]: F[K];
};

type AliasOf<Name, Aliases> = Name extends keyof Aliases
  ? Aliases[Name] extends (infer Alias)[] ? Known<Alias> : Known<Aliases[Name]>
  : never;

/** Nothing is known of any flag until one of these three options is given. */
type Values<Boolean, String, Collect, Negatable, Defaults, Aliases> =
  // deno-lint-ignore no-explicit-any
  [Boolean, String, Collect] extends [false, never, never] ? Record<string, any>
    :
      & Record<string, unknown>
      & WithAliases<
        WithDefaults<Flags<Boolean, String, Collect, Negatable>, Defaults>,
        Aliases
      >;

/** The one or the many other names a flag has. */
type Aliases<Name extends string = string> = Record<
  string,
  Name | readonly Name[]
>;

/** What {@linkcode parseArgs} finds. */
export type Args<
  // deno-lint-ignore no-explicit-any
  TArgs extends Record<string, unknown> = Record<string, any>,
  TDoubleDash extends boolean | undefined = undefined,
> = Flat<
  & TArgs
  & {
    /** All arguments that belong to no flag. */
    _: (string | number)[];
  }
  & (TDoubleDash extends true ? { "--": string[] } : unknown)
>;

/** What {@linkcode parseArgs} should look for. */
export interface ParseOptions<
  TBooleans extends boolean | string = boolean | string,
  TStrings extends string = string,
  TCollectable extends string = string,
  TNegatable extends string = string,
  TDefaults extends Record<string, unknown> = Record<string, unknown>,
  TAliases extends Aliases = Aliases,
  TDoubleDash extends boolean = boolean,
> {
  /** Whether what follows `--` goes to a list of its own, under this name. */
  "--"?: TDoubleDash;
  /** Other names, by the name they stand for. */
  alias?: TAliases;
  /** The flags that take no value; `true` for all that start with `--`. */
  boolean?: TBooleans | readonly Extract<TBooleans, string>[];
  /** What a flag is when it is not given. */
  default?: TDefaults;
  /** Whether the first argument that belongs to no flag ends the parsing. */
  stopEarly?: boolean;
  /** The flags whose value stays text, even if it looks like a number. */
  string?: TStrings | readonly TStrings[];
  /** The flags that may be given more than once: all values, in a list. */
  collect?: TCollectable | readonly TCollectable[];
  /** The flags that `--no-` in front turns off. */
  negatable?: TNegatable | readonly TNegatable[];
  /** Called for each argument nobody asked for. `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Sorts the arguments of a program into flags and the rest. */
export function parseArgs<
  TBooleans extends boolean | string = false,
  TStrings extends string = never,
  TCollectable extends string = never,
  TNegatable extends string = never,
  TDefaults extends Record<string, unknown> = Record<never, never>,
  TAliases extends Aliases<TAliasNames> = Record<never, never>,
  TAliasNames extends string = string,
  TDoubleDash extends boolean = false,
>(
  args: readonly string[],
  options?: ParseOptions<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases,
    TDoubleDash
  >,
): Args<
  Values<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases
  >,
  TDoubleDash
>;
