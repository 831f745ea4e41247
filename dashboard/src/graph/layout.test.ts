import { expect, test } from "vitest";
import { fitting, layOut } from "./layout";
import { type GraphModel, markLoops } from "./model";

const task = (name: string) => ({ name, kind: "task" as const, notes: [] });
const edge = (from: string, to: string) => ({ from, to, kind: "route" as const, label: "" });

test("a loop keeps the order in which it is walked, and what runs in any case comes last", () => {
  const model = markLoops({
    nodes: [task("a"), task("b"), task("c"), { name: "tidy", kind: "always", notes: [] }],
    edges: [edge("a", "b"), edge("b", "c"), edge("c", "a")],
  });
  expect(model.edges.map((each) => each.kind)).toEqual(["route", "route", "back"]);
  const { places } = layOut(model, "TB");
  const heights = places.map((place) => place.y);
  expect(heights).toEqual([...heights].sort((a, b) => a - b));
});

test("a chain is laid across a wide box and down a tall one", () => {
  const names = ["a", "b", "c", "d", "e"];
  const model: GraphModel = {
    nodes: names.map(task),
    edges: names.slice(1).map((name, at) => edge(names[at] ?? "", name)),
  };
  expect(fitting(model, { width: 2000, height: 300 }).direction).toBe("LR");
  expect(fitting(model, { width: 300, height: 2000 }).direction).toBe("TB");
});

test("two thousand tasks have places of their own", () => {
  const nodes = Array.from({ length: 2000 }, (_, at) => task(`t${at}`));
  const edges = nodes.slice(1).map((node, at) => edge(`t${Math.floor(at / 7)}`, node.name));
  const { places } = layOut({ nodes, edges }, "TB");
  expect(new Set(places.map((place) => `${place.x} ${place.y}`)).size).toBe(2000);
});
