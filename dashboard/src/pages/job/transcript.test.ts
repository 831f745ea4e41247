import { expect, test } from "vitest";
import { readTranscript } from "./transcript";

const lines = (...events: unknown[]) => events.map((each) => JSON.stringify(each)).join("\n");

test("our own protocol is read", () => {
  const stream = lines(
    { atta: "run", number: 1, cli: "custom" },
    { type: "session", id: "s" },
    { type: "message", text: "Hello" },
    { type: "tool", name: "write", input: { what: "a" } },
    { type: "tool_result", text: "written", is_error: true },
  );
  expect(readTranscript(`${stream}\nnot json\n{"type":"surprise"}\n[1]\n`)).toEqual({
    steps: [
      { kind: "run", text: "Run 1: custom" },
      { kind: "message", text: "Hello", by: "agent" },
      { kind: "call", tool: "write", input: '{\n  "what": "a"\n}' },
      { kind: "answer", text: "written", failed: true },
    ],
    unknown: 3,
  });
});

test("blocks of messages are read, thinking apart", () => {
  const content = [
    { type: "thinking", thinking: "hm" },
    { type: "text", text: "I look." },
    { type: "tool_use", name: "Bash", input: { command: "ls" } },
  ];
  const answer = [{ type: "tool_result", content: [{ type: "text", text: "a\nb" }] }];
  const { steps } = readTranscript(
    lines({ type: "assistant", message: { content } }, { type: "user", message: { content: answer } }),
  );
  expect(steps.map((step) => step.kind)).toEqual(["thinking", "message", "call", "answer"]);
  expect(steps[3]).toEqual({ kind: "answer", text: "a\nb", failed: false });
});

test("items are read", () => {
  const { steps } = readTranscript(
    lines(
      { type: "thread.started" },
      { type: "item.completed", item: { type: "reasoning", text: "so" } },
      {
        type: "item.completed",
        item: { type: "command_execution", command: "make", aggregated_output: "no", exit_code: 2 },
      },
    ),
  );
  expect(steps.map((step) => step.kind)).toEqual(["thinking", "call", "answer"]);
});
