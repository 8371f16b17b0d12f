// The text that Deno.inspect and console.log show for an object of this module.

import { runtime } from "./libc/runtime/mod.ts";

const HEXADECIMAL = /^0x[0-9a-f]+$/;

const { entries, hasOwn } = Object;

function show(value: unknown): string {
  const isNumber = typeof value === "string" && HEXADECIMAL.test(value);
  return isNumber ? value : runtime.inspect(value);
}

/**
 * Makes `Deno.inspect` show objects of a class as `Name { field: value, ... }`. Fields
 * that are undefined are absent, and hexadecimal numbers, which are strings here, have
 * no quotes. A method in the class would not do: its name is computed, which projects
 * with `isolatedDeclarations` do not accept.
 */
export function inspectAs<T extends object>(
  type: { readonly prototype: T },
  fieldsOf: (object: T) => object,
  nameOf: (object: T) => string = ({ constructor }) => constructor.name,
): void {
  function text(object: T): string {
    if (hasOwn(object, "constructor")) return `${object.constructor.name} {}`;
    const shown = entries(fieldsOf(object))
      .filter(([, value]) => value !== undefined)
      .map(([field, value]) => `${field}: ${show(value)}`);
    return `${nameOf(object)} { ${shown.join(", ")} }`;
  }
  runtime.inspectAs(type.prototype, text);
}
