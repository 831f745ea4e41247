/** One message of a stream of server-sent events. */
export interface Message {
  event: string;
  data: string;
  id: string | undefined;
}

/**
 * Reads server-sent events from a body (WHATWG HTML, "Server-sent events"). `EventSource` cannot send a token, so the
 * stream is read with `fetch`. `alive` is called for each comment: a server sends them when it has nothing else to say.
 */
export async function* messages(
  body: ReadableStream<Uint8Array>,
  alive: () => void = () => undefined,
): AsyncGenerator<Message> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = "message";
  let id: string | undefined;
  let lines: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      for (;;) {
        const end = rest.search(/\r\n|\n|\r(?!$)/);
        if (end < 0) break;
        const line = rest.slice(0, end);
        rest = rest.slice(end + (rest.startsWith("\r\n", end) ? 2 : 1));
        if (line === "") {
          if (lines.length > 0) yield { event, data: lines.join("\n"), id };
          event = "message";
          lines = [];
          continue;
        }
        const colon = line.indexOf(":");
        if (colon === 0) alive();
        const field = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
        if (field === "data") lines.push(text);
        else if (field === "event") event = text;
        else if (field === "id") id = text;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
