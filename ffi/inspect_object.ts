// The text that Deno.inspect and console.log show for an object of this module.

const HEXADECIMAL = /^0x[0-9a-f]+$/;

function show(value: unknown): string {
  const isNumber = typeof value === "string" && HEXADECIMAL.test(value);
  return isNumber ? value : Deno.inspect(value);
}

/**
 * Returns `Name { field: value, ... }`. Fields that are undefined are absent, and
 * hexadecimal numbers, which are strings here, have no quotes.
 */
export function inspected(
  name: string,
  fields: Record<string, unknown>,
): string {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}: ${show(value)}`);
  return `${name} { ${shown.join(", ")} }`;
}
