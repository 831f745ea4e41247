import { useEffect, useMemo, useState } from "react";
import type { Direction, Layout } from "./layout";
import type { LayoutRequest } from "./layout.worker";
import type { GraphModel } from "./model";

/** Layouts of this page, by what they are made of: what only changes its state keeps its place. */
const known = new Map<string, Layout>();

interface Placed {
  model: GraphModel;
  layout: Layout;
}

/** Places a graph beside the page's own work. Until a new layout is there, the one before stays. */
export function useLayout(
  model: GraphModel,
  direction: Direction | "fitting",
  box: { width: number; height: number } | undefined,
): Placed | undefined {
  const key = useMemo(() => {
    if (box === undefined) return undefined;
    const shape = direction === "fitting" ? `${Math.round(box.width / 50)}x${Math.round(box.height / 50)}` : "";
    const nodes = model.nodes.map((node) => `${node.kind} ${node.name}`);
    const edges = model.edges.map((edge) => `${edge.kind} ${edge.from}\n${edge.to} ${edge.label}`);
    return [direction, shape, ...nodes, "", ...edges].join("\n");
  }, [model, direction, box]);
  const [placed, setPlaced] = useState<Placed & { key: string }>();
  useEffect(() => {
    if (key === undefined || box === undefined) return;
    const before = known.get(key);
    if (before) return setPlaced({ key, model, layout: before });
    const worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<Layout>) => {
      if (known.size > 20) known.clear();
      known.set(key, event.data);
      setPlaced({ key, model, layout: event.data });
      worker.terminate();
    };
    worker.postMessage({ model, direction, box } satisfies LayoutRequest);
    return () => worker.terminate();
  }, [key, model, direction, box]);
  return placed;
}
