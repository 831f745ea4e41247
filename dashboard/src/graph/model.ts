/** A definition as nodes and ways between them; what `GraphView` draws. */
export interface GraphModel {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export interface GraphNode {
  /** The task's name, or a word such as `END_BLOCKED`. */
  name: string;
  kind: "task" | "always" | "end";
  /** What else is worth saying, in a few words each. */
  notes: string[];
}

/** `back` begins the next round of a loop; `weak` is a dependency that any outcome satisfies, or that brings files only. */
export type EdgeKind = "dependency" | "weak" | "route" | "back";

export interface GraphEdge {
  from: string;
  to: string;
  kind: EdgeKind;
  /** What it is taken on; nothing for dependencies. */
  label: string;
}

export const edgeKey = (from: string, to: string) => `${from}\n${to}`;

/** Ends that nothing has led to are noise in the picture of a job. */
export function withoutEnds(graph: GraphModel, keep: (end: string) => boolean): GraphModel {
  const gone = new Set(graph.nodes.filter((node) => node.kind === "end" && !keep(node.name)).map((node) => node.name));
  if (gone.size === 0) return graph;
  return {
    nodes: graph.nodes.filter((node) => !gone.has(node.name)),
    edges: graph.edges.filter((edge) => !gone.has(edge.to)),
  };
}

/** What leads back to the same node is said in it, not drawn. */
export function withoutSelves(graph: GraphModel): GraphModel {
  const selves = graph.edges.filter((edge) => edge.from === edge.to);
  if (selves.length === 0) return graph;
  return {
    nodes: graph.nodes.map((node) => {
      const own = selves.filter((edge) => edge.from === node.name).map((edge) => edge.label);
      return own.length === 0 ? node : { ...node, notes: [...node.notes, ...own] };
    }),
    edges: graph.edges.filter((edge) => edge.from !== edge.to),
  };
}

/**
 * Says which ways close a loop: those that lead back to a node on the path that was walked to it, beginning where nothing
 * leads to. A dependency that closes a loop only brings files of an earlier visit.
 */
export function markLoops(graph: GraphModel): GraphModel {
  const ways = new Map<string, GraphEdge[]>();
  const entered = new Set<string>();
  for (const edge of graph.edges) {
    const list = ways.get(edge.from);
    if (list) list.push(edge);
    else ways.set(edge.from, [edge]);
    entered.add(edge.to);
  }
  // Routes first: a loop is closed by the route that leads back, or by a dependency, never by the route that goes on.
  for (const list of ways.values()) list.sort((a, b) => Number(a.kind !== "route") - Number(b.kind !== "route"));
  const state = new Map<string, "open" | "done">();
  const back = new Set<GraphEdge>();
  const walk = (start: string) => {
    const path: { name: string; next: number }[] = [{ name: start, next: 0 }];
    state.set(start, "open");
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const edge = ways.get(top.name)?.[top.next++];
      if (edge === undefined) {
        state.set(top.name, "done");
        path.pop();
      } else if (state.get(edge.to) === "open") back.add(edge);
      else if (!state.has(edge.to)) {
        state.set(edge.to, "open");
        path.push({ name: edge.to, next: 0 });
      }
    }
  };
  for (const node of graph.nodes) if (!entered.has(node.name)) walk(node.name);
  for (const node of graph.nodes) if (!state.has(node.name)) walk(node.name);
  if (back.size === 0) return graph;
  return {
    nodes: graph.nodes,
    edges: graph.edges.map((edge) => {
      if (!back.has(edge)) return edge;
      return edge.kind === "route" ? { ...edge, kind: "back" } : { ...edge, kind: "weak", label: "earlier files" };
    }),
  };
}
