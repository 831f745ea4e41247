import { lazy, Suspense } from "react";
import { Busy } from "../ui/kit";
import type { GraphModel } from "./model";
import type { NodeStatus } from "./parts";

export type { NodeStatus } from "./parts";

/** What is known of a job beyond its definition. */
export interface Overlay {
  /** By name; ends are in it when a route has led there. */
  statuses: Map<string, NodeStatus>;
  /** How often a way was taken, by `edgeKey`. */
  taken: Map<string, number>;
}

export interface GraphProps {
  graph: GraphModel;
  overlay?: Overlay;
  selected?: string | undefined;
  onSelect?: (name: string) => void;
  /** What is shown first when not all of it fits. */
  focus?: string | undefined;
  /** What it is, for those who do not see it. */
  label: string;
}

const Picture = lazy(() => import("./graph-view"));

/** A graph of tasks; it fills its parent. In a chunk of its own. */
export function GraphView(props: GraphProps) {
  return (
    <Suspense fallback={<Busy label="Drawing" />}>
      <Picture {...props} />
    </Suspense>
  );
}
