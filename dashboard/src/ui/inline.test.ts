import { expect, test } from "vitest";
import { links, plain, pullRequest } from "./inline";

test("a description becomes one line without marks", () => {
  expect(plain("Release **1.0** of [atta](https://x.example/a)\n\nwith `care`")).toBe("Release 1.0 of atta with care");
  expect(plain("# Title\n- one")).toBe("Title one");
  expect(plain("snake_case_name and 2 * 3 * 4 stay")).toBe("snake_case_name and 2 * 3 * 4 stay");
  expect(plain("<script>alert(1)</script> [x](javascript:alert(1))")).toContain("<script>alert(1)</script> x");
});

test("only http links are found, each once", () => {
  expect(
    links("[PR](https://h.example/a/b/pull/3) and https://h.example/x. [x](javascript:alert(1)) https://h.example/x"),
  ).toEqual([
    { text: "PR", url: "https://h.example/a/b/pull/3" },
    { text: "https://h.example/x", url: "https://h.example/x" },
  ]);
});

test("pull requests of several forges are known by their addresses", () => {
  expect(pullRequest("https://github.com/acme/shop/pull/57")).toBe("acme/shop#57");
  expect(pullRequest("https://gitlab.example/g/sub/p/-/merge_requests/9/")).toBe("g/sub/p#9");
  expect(pullRequest("https://github.com/acme/shop/issues/57")).toBeUndefined();
  expect(pullRequest("javascript:alert(1)")).toBeUndefined();
  expect(pullRequest("/tmp/forge/pulls/1")).toBeUndefined();
});
