import { expect, test } from "vitest";
import { exportsOf, requestOf, scriptOf } from "./command";

test("a script begins with the values that it was bound to", () => {
  expect(scriptOf({ preamble: "A='1'", text: "echo $A" })).toBe("A='1'\necho $A");
  expect(scriptOf({ preamble: "A='1'\n", text: "echo $A" })).toBe("A='1'\necho $A");
  expect(scriptOf({ text: "echo" })).toBe("echo");
});

test("an environment can be given to a shell, whatever is in it, without values of secrets", () => {
  const lines = exportsOf([
    { name: "A", value: "plain-1.0" },
    { name: "B", value: "it's $(rm -rf /) `x`\nnext" },
    { name: "C", value: "" },
    { name: "TOKEN", value: "***", secret: true },
  ]);
  expect(lines).toBe(
    "export A=plain-1.0\nexport B='it'\\''s $(rm -rf /) `x`\nnext'\nexport C=''\n# TOKEN is a secret: export TOKEN=…",
  );
});

test("a request is written with its query, its header and its body; variables stay names", () => {
  const base = { verb: "GET", url: "https://x.example/a", follow_redirects: 0, max_body: 1, connect_timeout_ms: 1 };
  expect(requestOf(base)).toBe("GET https://x.example/a");
  const text = (value: string) => [{ text: value }];
  expect(
    requestOf({
      ...base,
      verb: "POST",
      url: "https://x.example/a?b=1",
      query: [{ name: "q", value: text("a b") }],
      headers: [{ name: "Authorization", value: [{ text: "Bearer " }, { variable: "TOKEN" }] }],
      json: { a: 1 },
    }),
  ).toBe('POST https://x.example/a?b=1&q=a%20b\nAuthorization: Bearer $TOKEN\n\n{\n  "a": 1\n}');
  expect(requestOf({ ...base, form: [{ name: "a", value: text("1") }] })).toBe("GET https://x.example/a\n\na=1");
});
