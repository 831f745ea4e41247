/** As much of JSON Schema as the schema of definitions uses. */
export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  required?: string[];
  pattern?: string;
  description?: string;
  default?: unknown;
}

/** What a schema says at a place: each of the ways in which it may be written. */
function ways(root: Schema, schema: Schema | undefined, depth = 0): Schema[] {
  if (schema === undefined || depth > 8) return [];
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace("#/$defs/", "");
    return ways(root, root.$defs?.[name], depth + 1).map((way) => ({
      ...way,
      ...(schema.description === undefined ? {} : { description: schema.description }),
    }));
  }
  const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  if (inner.length === 0) return [schema];
  const { anyOf: _, oneOf: __, ...rest } = schema;
  return inner.flatMap((each) =>
    ways(root, each, depth + 1).map((way) => ({
      ...rest,
      ...way,
      description: rest.description ?? way.description ?? "",
    })),
  );
}

/** What a schema says of the value at a path; `*` is an element of a list. */
export function schemasAt(root: Schema, path: readonly string[]): Schema[] {
  let found = ways(root, root);
  for (const step of path) {
    found = found.flatMap((schema) => {
      if (step === "*") return ways(root, schema.items);
      const named = schema.properties?.[step];
      if (named !== undefined) return ways(root, named);
      return typeof schema.additionalProperties === "object" ? ways(root, schema.additionalProperties) : [];
    });
  }
  return found;
}

export interface Suggestion {
  label: string;
  /** What it may be: its type or its values. */
  detail: string;
  info: string;
  required: boolean;
  /** Whether the value is a mapping or a list, which begins on the next line. */
  below: "mapping" | "list" | undefined;
}

/** The keys that a mapping at a path may have. */
export function keysAt(root: Schema, path: readonly string[]): Suggestion[] {
  const found = new Map<string, Suggestion>();
  for (const schema of schemasAt(root, path)) {
    for (const [label, property] of Object.entries(schema.properties ?? {})) {
      if (found.has(label)) continue;
      const values = ways(root, property);
      found.set(label, {
        label,
        detail: kindOf(values),
        info: property.description ?? values.find((each) => each.description)?.description ?? "",
        required: schema.required?.includes(label) ?? false,
        below: belowOf(values),
      });
    }
  }
  return [...found.values()];
}

/** The words that a value at a path may be. */
export function valuesAt(root: Schema, path: readonly string[]): string[] {
  const words = new Set<string>();
  for (const schema of schemasAt(root, path)) {
    for (const each of schema.enum ?? []) if (each !== null) words.add(String(each));
    if (schema.const !== undefined) words.add(String(schema.const));
    if (schema.type === "boolean") for (const each of ["true", "false"]) words.add(each);
  }
  return [...words];
}

/** What is said of a key: its meaning and what it may be. */
export function about(root: Schema, path: readonly string[]): { kind: string; text: string } | undefined {
  const key = path.at(-1);
  if (key === undefined || key === "*") return undefined;
  const found = keysAt(root, path.slice(0, -1)).find((each) => each.label === key);
  return found && { kind: found.detail, text: found.info };
}

function kindOf(values: Schema[]): string {
  const kinds = new Set<string>();
  for (const each of values) {
    if (each.enum && each.enum.length <= 4) for (const word of each.enum) kinds.add(String(word));
    else if (each.enum) kinds.add("word");
    else if (each.properties || each.type === "object") kinds.add("mapping");
    else if (each.items || each.type === "array") kinds.add("list");
    else for (const type of [each.type ?? "any"].flat()) kinds.add(type === "string" ? "text" : type);
  }
  return [...kinds].slice(0, 5).join(" | ");
}

function belowOf(values: Schema[]): Suggestion["below"] {
  if (values.length === 0) return undefined;
  if (values.every((each) => each.type === "object" || each.properties)) return "mapping";
  return values.every((each) => each.type === "array" || each.items) ? "list" : undefined;
}
