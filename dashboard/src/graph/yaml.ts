import { yamlLanguage } from "@codemirror/lang-yaml";

/** As much of YAML as definitions need to be drawn: mappings, lists, anchors, merges. Every scalar is its text. */
export type Yaml = string | Yaml[] | YamlMap | null;
export interface YamlMap extends Map<string, Yaml> {}

export interface YamlDocument {
  value: Yaml;
  /** Where a mapping or a list stands in the text. */
  range: (value: Yaml) => { from: number; to: number } | undefined;
}

type Node = NonNullable<ReturnType<ReturnType<typeof yamlLanguage.parser.parse>["topNode"]["getChild"]>>;

/** Reads a document. What it cannot make sense of is left out: the server's validator judges, this only draws. */
export function readYaml(text: string): YamlDocument {
  const anchors = new Map<string, Yaml>();
  const ranges = new Map<Yaml, { from: number; to: number }>();
  const raw = (node: Node) => text.slice(node.from, node.to);

  const children = (node: Node): Node[] => {
    const found: Node[] = [];
    for (let child = node.firstChild; child; child = child.nextSibling) if (child.name !== "Comment") found.push(child);
    return found;
  };
  const element = (node: Node): Yaml => {
    switch (node.name) {
      case "BlockMapping":
      case "FlowMapping":
        return place(node, mapping(node));
      case "BlockSequence":
      case "FlowSequence":
        return place(node, list(node));
      case "Anchored": {
        const [anchor, ...rest] = children(node);
        const value = rest[0] ? element(rest[0]) : null;
        if (anchor) anchors.set(raw(anchor).slice(1), value);
        return value;
      }
      case "Tagged": {
        const value = children(node).find((child) => child.name !== "Tag");
        return value ? element(value) : null;
      }
      case "Alias":
        return anchors.get(raw(node).slice(1)) ?? null;
      case "QuotedLiteral":
        return unquote(raw(node));
      default:
        return raw(node).trim();
    }
  };
  const place = <T extends Yaml>(node: Node, value: T): T => {
    ranges.set(value, { from: node.from, to: node.to });
    return value;
  };
  const list = (node: Node): Yaml[] =>
    node.getChildren("Item").map((item) => {
      const value = children(item).find((child) => /^[A-Z]/.test(child.name));
      return value ? element(value) : null;
    });
  const mapping = (node: Node): YamlMap => {
    const own = new Map<string, Yaml>();
    const merged: Yaml[] = [];
    for (const pair of node.getChildren("Pair")) {
      const parts = children(pair).filter((child) => /^[A-Z]/.test(child.name));
      const key = parts.find((part) => part.name === "Key");
      const value = parts.find((part) => part.name !== "Key");
      if (!key?.firstChild) continue;
      const name = element(key.firstChild);
      const read = value ? element(value) : null;
      if (name === "<<") merged.push(...(Array.isArray(read) ? read : [read]));
      else if (typeof name === "string") own.set(name, read);
    }
    for (const each of merged)
      if (each instanceof Map) for (const [name, value] of each) if (!own.has(name)) own.set(name, value);
    return own;
  };

  const top = yamlLanguage.parser.parse(text).topNode.getChild("Document");
  const first = top ? children(top).find((child) => !child.name.startsWith("Directive")) : undefined;
  return { value: first ? element(first) : null, range: (value) => ranges.get(value) };
}

function unquote(text: string): string {
  if (text.startsWith("'")) return text.slice(1, -1).replaceAll("''", "'");
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}
