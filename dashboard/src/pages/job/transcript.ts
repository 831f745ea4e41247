/** What an agent did, step by step, from the stream of its program. */
export type Step =
  | { kind: "run"; text: string }
  | { kind: "message"; text: string; by: "agent" | "user" }
  | { kind: "thinking"; text: string }
  | { kind: "call"; tool: string; input: string }
  | { kind: "answer"; text: string; failed: boolean }
  | { kind: "note"; text: string };

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string =>
  typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value, null, 2);

/**
 * Reads a transcript: our own line protocol, and the streams of the programs that are known. Lines that are not understood
 * are left out and counted; the whole stream is among the artifacts.
 */
export function readTranscript(stream: string): { steps: Step[]; unknown: number } {
  const steps: Step[] = [];
  let unknown = 0;
  for (const line of stream.split("\n")) {
    if (line.trim() === "") continue;
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch {
      unknown++;
      continue;
    }
    const found = isObject(event) ? stepsOf(event) : undefined;
    if (found === undefined) unknown++;
    else steps.push(...found);
  }
  return { steps, unknown };
}

function stepsOf(event: Json): Step[] | undefined {
  if (event.atta === "run") return [{ kind: "run", text: `Run ${text(event.number)}: ${text(event.cli)}` }];
  if (event.atta !== undefined) return [];
  switch (event.type) {
    case "message":
      return message(text(event.text ?? event.message ?? event.content), event.role === "user" ? "user" : "agent");
    case "thinking":
    case "reasoning":
      return event.text ? [{ kind: "thinking", text: text(event.text) }] : [];
    case "tool":
    case "tool_use":
      return [
        { kind: "call", tool: text(event.name ?? event.tool_name), input: text(event.input ?? event.parameters) },
      ];
    case "tool_result":
      return [
        {
          kind: "answer",
          text: text(event.text ?? event.output),
          failed: event.is_error === true || event.status === "error",
        },
      ];
    case "denied":
      return [{ kind: "note", text: `${text(event.name)} was refused. ${text(event.input)}` }];
    case "error":
    case "note":
    case "limit":
      return [{ kind: "note", text: text(event.text ?? event.message ?? event.error) }];
    case "assistant":
    case "user":
      return isObject(event.message) ? blocks(event.message.content, event.type) : [];
    // Codex: everything that happens is an item.
    case "item.completed":
      return isObject(event.item) ? item(event.item) : [];
    // Beginnings, pieces and figures: the record has what counts.
    case "session":
    case "turn":
    case "usage":
    case "result":
    case "system":
    case "stream_event":
    case "init":
    case "step_start":
    case "step_finish":
      return [];
    case "text":
      return message(isObject(event.part) ? text(event.part.text) : text(event.text), "agent");
    default:
      return typeof event.type === "string" && /^(item|turn|thread|session|response)\./.test(event.type)
        ? []
        : undefined;
  }
}

const message = (words: string, by: "agent" | "user"): Step[] =>
  words === "" ? [] : [{ kind: "message", text: words, by }];

/** The content of a message: a text, or blocks. */
function blocks(content: unknown, by: "assistant" | "user"): Step[] {
  const who = by === "user" ? "user" : "agent";
  if (typeof content === "string") return message(content, who);
  if (!Array.isArray(content)) return [];
  return content.filter(isObject).flatMap((block): Step[] => {
    switch (block.type) {
      case "text":
        return message(text(block.text), who);
      case "thinking":
        return block.thinking ? [{ kind: "thinking", text: text(block.thinking) }] : [];
      case "tool_use":
        return [{ kind: "call", tool: text(block.name), input: text(block.input) }];
      case "tool_result": {
        const inner = Array.isArray(block.content)
          ? block.content.map((each) => (isObject(each) ? text(each.text ?? each.type) : text(each))).join("\n")
          : text(block.content);
        return [{ kind: "answer", text: inner, failed: block.is_error === true }];
      }
      default:
        return [];
    }
  });
}

function item(of: Json): Step[] {
  switch (of.type ?? of.item_type) {
    case "agent_message":
    case "assistant_message":
      return message(text(of.text), "agent");
    case "reasoning":
      return of.text ? [{ kind: "thinking", text: text(of.text) }] : [];
    case "command_execution":
      return [
        { kind: "call", tool: "command", input: text(of.command) },
        {
          kind: "answer",
          text: text(of.aggregated_output),
          failed: typeof of.exit_code === "number" && of.exit_code !== 0,
        },
      ];
    case "file_change":
      return [{ kind: "call", tool: "file change", input: text(of.changes) }];
    case "mcp_tool_call":
      return [
        { kind: "call", tool: [of.server, of.tool].map(text).filter(Boolean).join(" "), input: text(of.arguments) },
      ];
    case "error":
      return [{ kind: "note", text: text(of.message) }];
    default:
      return [];
  }
}
