import { layout as dagre, Graph } from "@dagrejs/dagre";
import type { GraphModel } from "./model";

export type Direction = "TB" | "LR";

export interface Layout {
  direction: Direction;
  width: number;
  height: number;
  /** The upper left corner of each node, in the order of the nodes. */
  places: { x: number; y: number }[];
  /** Where each way bends so that it crosses no node, in the order of the ways; nothing where it may go straight. */
  bends: (Point[] | undefined)[];
}

export interface Point {
  x: number;
  y: number;
}

export const nodeSize = { width: 208, height: 54 };
export const endSize = { width: 152, height: 30 };
const gap = { node: 28, rank: 62 };

/** Above this, dagre takes seconds. */
const many = 300;

/**
 * Places nodes in layers along the ways that lead on. Ways that lead back do not count, so that a loop stays in the order in
 * which it is walked. Tasks that run in any case come last, one after another.
 */
export function layOut(model: GraphModel, direction: Direction): Layout {
  const down = direction === "TB";
  const size = (index: number) => (model.nodes[index]?.kind === "end" ? endSize : nodeSize);
  const index = new Map(model.nodes.map((node, at) => [node.name, at]));
  const members = model.nodes.flatMap((node, at) => (node.kind === "always" ? [] : [at]));
  const ways: [number, number][] = [];
  for (const edge of model.edges) {
    const [from, to] = [index.get(edge.from), index.get(edge.to)];
    if (from === undefined || to === undefined || edge.kind === "back" || edge.label === "earlier files") continue;
    if (model.nodes[from]?.kind !== "always" && model.nodes[to]?.kind !== "always") ways.push([from, to]);
  }
  const places = model.nodes.map(() => ({ x: 0, y: 0 }));
  const bends: Layout["bends"] = model.edges.map(() => undefined);
  let [width, height] = [0, 0];
  const place = (at: number, x: number, y: number) => {
    places[at] = { x, y };
    width = Math.max(width, x + size(at).width);
    height = Math.max(height, y + size(at).height);
  };
  if (members.length > many) {
    for (const [at, { x, y }] of inRows(members, ways, down)) place(at, x, y);
  } else if (members.length > 0) {
    const graph = new Graph();
    graph.setGraph({ rankdir: direction, nodesep: gap.node, ranksep: gap.rank });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const at of members) graph.setNode(String(at), { ...size(at) });
    for (const [from, to] of ways) graph.setEdge(String(from), String(to));
    dagre(graph);
    for (const name of graph.nodes()) {
      const at = Number(name);
      const { x, y } = graph.node(name) as { x: number; y: number };
      place(at, x - size(at).width / 2, y - size(at).height / 2);
    }
    model.edges.forEach((edge, at) => {
      const [from, to] = [String(index.get(edge.from)), String(index.get(edge.to))];
      if (edge.kind === "back" || edge.label === "earlier files" || !graph.hasEdge(from, to)) return;
      const { points } = graph.edge(from, to) as { points?: Point[] };
      // Its ends are where it meets the nodes: the picture has its own.
      bends[at] = points?.slice(1, -1).map(({ x, y }) => ({ x, y }));
    });
  }
  const always = model.nodes.flatMap((node, at) => (node.kind === "always" ? [at] : []));
  const [after, middle] = down ? [height, width / 2] : [width, height / 2];
  const start = after === 0 ? 0 : after + gap.rank;
  always.forEach((at, turn) => {
    if (down) place(at, Math.max(0, middle - nodeSize.width / 2), start + turn * (nodeSize.height + gap.node));
    else place(at, start + turn * (nodeSize.width + gap.node), Math.max(0, middle - nodeSize.height / 2));
  });
  return { direction, width, height, places, bends };
}

/**
 * Layers for very many tasks: each as deep as the longest way to it, its members near what leads to them, and a layer of more
 * than a screenful in several rows.
 */
function inRows(members: number[], ways: [number, number][], down: boolean): Map<number, { x: number; y: number }> {
  const before = new Map<number, number[]>();
  const after = new Map<number, number[]>();
  for (const [from, to] of ways) {
    after.set(from, [...(after.get(from) ?? []), to]);
    before.set(to, [...(before.get(to) ?? []), from]);
  }
  const open = new Map(members.map((at) => [at, before.get(at)?.length ?? 0]));
  const depth = new Map<number, number>();
  const queue = members.filter((at) => open.get(at) === 0);
  for (const at of queue) {
    const own = depth.get(at) ?? 0;
    depth.set(at, own);
    for (const to of after.get(at) ?? []) {
      depth.set(to, Math.max(depth.get(to) ?? 0, own + 1));
      const left = (open.get(to) ?? 0) - 1;
      open.set(to, left);
      if (left === 0) queue.push(to);
    }
  }
  const layers: number[][] = [];
  for (const at of members) {
    const own = depth.get(at) ?? 0;
    const layer = layers[own];
    if (layer) layer.push(at);
    else layers[own] = [at];
  }
  const row = Math.max(8, Math.ceil(Math.sqrt(members.length / 2)));
  const rank = new Map<number, number>();
  const places = new Map<number, { x: number; y: number }>();
  const across = (down ? nodeSize.width : nodeSize.height) + gap.node;
  const along = (down ? nodeSize.height : nodeSize.width) + gap.node;
  let line = 0;
  for (const layer of layers.filter(Boolean)) {
    const middle = (at: number) => {
      const from = before.get(at) ?? [];
      return from.reduce((sum, each) => sum + (rank.get(each) ?? 0), 0) / (from.length || 1);
    };
    const weights = new Map(layer.map((at) => [at, middle(at)]));
    layer.sort((a, b) => (weights.get(a) ?? 0) - (weights.get(b) ?? 0) || a - b);
    layer.forEach((at, turn) => {
      rank.set(at, turn / layer.length);
      const inLine = Math.min(row, layer.length - (turn - (turn % row)));
      const [x, y] = [((turn % row) + (row - inLine) / 2) * across, line + Math.floor(turn / row) * along];
      places.set(at, down ? { x, y } : { x: y, y: x });
    });
    line += Math.ceil(layer.length / row) * along + gap.rank;
  }
  return places;
}

/** The direction in which more of the picture can be read in a box of this shape. */
export function fitting(model: GraphModel, box: { width: number; height: number }): Layout {
  const scale = (layout: Layout) => Math.min(box.width / layout.width, box.height / layout.height, 1);
  const down = layOut(model, "TB");
  if (model.nodes.length > many) return down;
  const across = layOut(model, "LR");
  return scale(across) > scale(down) * 1.15 ? across : down;
}
