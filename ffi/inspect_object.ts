// What Deno.inspect() shows of an object: the name of its class, and what it is.

/** The text of an object of class `name` with these fields; undefined ones are absent. */
export function inspected(
  name: string,
  fields: Record<string, unknown>,
): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}: ${Deno.inspect(value)}`);
  return `${name} { ${parts.join(", ")} }`;
}
