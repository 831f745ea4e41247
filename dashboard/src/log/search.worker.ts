import { type Answer, compile, matches, type Request, scan } from "./search";

/** Matches beside the page: an expression that takes forever stops this worker, not the page. */
const decoder = new TextDecoder();
let expression: RegExp | undefined;

const answer = (value: Answer) => postMessage(value);

addEventListener("message", (message: MessageEvent<Request>) => {
  const request = message.data;
  if (request.kind === "query") {
    const compiled = compile(request.query);
    expression = typeof compiled === "string" ? undefined : compiled;
    return;
  }
  if (expression === undefined) return;
  if (request.kind === "scan") {
    const { lines, count } = scan(expression, decoder.decode(request.bytes), request.first);
    answer({ kind: "scanned", id: request.id, lines, count });
    return;
  }
  const marks: { line: number; ranges: number[] }[] = [];
  for (const { line, text } of request.lines) {
    const ranges = matches(expression, text);
    if (ranges.length > 0) marks.push({ line, ranges });
  }
  answer({ kind: "marked", id: request.id, marks });
});
