import { expect, it } from "vitest";
import { isWeb } from "./address";

it("follows links of programs to the web only", () => {
  expect(["https://a.example/x", "http://b.example"].filter(isWeb)).toHaveLength(2);
  const bad = ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "vscode://x", "//x", "", "x https:"];
  expect(bad.filter(isWeb)).toEqual([]);
});
