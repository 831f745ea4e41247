import { autocompletion, type Completion, type CompletionContext, snippetCompletion } from "@codemirror/autocomplete";
import type { Extension, Text } from "@codemirror/state";
import { hoverTooltip } from "@codemirror/view";
import schemaAddress from "../../../docs/reference/job-definition.schema.json?url";
import { placeAt } from "./place";
import { about, keysAt, type Schema, valuesAt } from "./schema";

let loading: Promise<Schema> | undefined;

/** The schema of definitions; fetched once, when it is needed first. */
function schema(): Promise<Schema> {
  loading ??= fetch(schemaAddress)
    .then((response) => {
      if (!response.ok) throw new Error(`the schema of definitions did not come: ${response.status}`);
      return response.json() as Promise<Schema>;
    })
    .catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
  return loading;
}

const linesOf = (text: Text) => Array.from({ length: text.lines }, (_, index) => text.line(index + 1).text);

async function complete(context: CompletionContext) {
  const line = context.state.doc.lineAt(context.pos);
  const place = placeAt(linesOf(context.state.doc), line.number - 1, context.pos - line.from);
  if (place === undefined) return null;
  const root = await schema();
  if (place.kind === "value") {
    const options = valuesAt(root, place.path).map((label): Completion => ({ label, type: "enum" }));
    return options.length > 0 ? { from: line.from + place.from, options } : null;
  }
  if (place.key === "" && !context.explicit) return null;
  const rest = line.text.slice(context.pos - line.from);
  const options = keysAt(root, place.path)
    .filter(({ label }) => !place.beside.has(label))
    .map(({ label, detail, info, required, below }): Completion => {
      const option: Completion = { label, detail, type: "property", boost: required ? 1 : 0, ...(info && { info }) };
      // What stands behind the place already is not written once more.
      if (rest.trim() !== "") return option;
      const behind = below === "mapping" ? ":\n\t#{}" : below === "list" ? ":\n\t- #{}" : ": #{}";
      return snippetCompletion(`${label}${behind}`, option);
    });
  return options.length > 0 ? { from: line.from + place.from, options, validFor: /^[\w-]*$/ } : null;
}

const hover = hoverTooltip(async (view, position) => {
  const line = view.state.doc.lineAt(position);
  const key = /^(?:\s*-\s+)*\s*([\w.-]+)\s*:/.exec(line.text);
  if (!key?.[1]) return null;
  const from = line.text.indexOf(key[1]);
  const to = from + key[1].length;
  if (position < line.from + from || position > line.from + to) return null;
  // The place behind the colon names the key too.
  const lines = linesOf(view.state.doc);
  lines[line.number - 1] = `${line.text.slice(0, to)}: `;
  const place = placeAt(lines, line.number - 1, to + 2);
  const found = place && about(await schema(), place.path);
  if (!found) return null;
  return {
    pos: line.from + from,
    end: line.from + to,
    create: () => {
      const dom = document.createElement("div");
      dom.className = "cm-completionInfo";
      const kind = document.createElement("div");
      kind.textContent = `${place.key}: ${found.kind}`;
      kind.style.color = "var(--soft)";
      const text = document.createElement("div");
      text.textContent = found.text;
      dom.append(kind, text);
      return { dom };
    },
  };
});

/** Completion and explanations out of the schema of definitions. */
export const assist: Extension = [autocompletion({ override: [complete], icons: false }), hover];
