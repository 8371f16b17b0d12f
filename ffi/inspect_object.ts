// The text that Deno.inspect and console.log show for the objects of this module.

/** Returns `Name { field: value }`. */
export function inspected(
  name: string,
  fields: Record<string, unknown>,
): string {
  return `${name} ${Deno.inspect(fields)}`;
}
