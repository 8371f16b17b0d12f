// What Deno.inspect() and console.log() show of an object of this module.

/** Returns the name of a class and some properties: `Name { id: 7, closed: false }`. */
export function inspected(
  name: string,
  fields: Record<string, unknown>,
): string {
  return `${name} ${Deno.inspect(fields)}`;
}
