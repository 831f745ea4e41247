import {
  BaseEdge,
  type Edge,
  EdgeLabelRenderer,
  type EdgeProps,
  getBezierPath,
  Handle,
  type Node,
  type NodeProps,
  Position,
} from "@xyflow/react";
import { LoaderCircle, Repeat2 } from "lucide-react";
import { cn } from "../ui/cn";
import { type AnyState, lookOf, type Tone } from "../ui/state";
import type { Direction, Point } from "./layout";
import type { EdgeKind, GraphNode } from "./model";

/** How a node of a job stands. */
export interface NodeStatus {
  state: AnyState;
  /** A few words more, such as "visit 2 · 3.1 s". */
  detail?: string | undefined;
  visits: number;
  /** Of a `fan_out`, how many items are in which state; of a task that made several jobs, how many of those. */
  counts?: { total: number; done: number; failed: number; running: number; what?: "jobs" } | undefined;
}

export type TaskNodeType = Node<
  { node: GraphNode; status: NodeStatus | undefined; live: boolean; direction: Direction },
  "task"
>;
export type WayType = Edge<
  {
    kind: EdgeKind;
    label: string;
    taken: number | undefined;
    direction: Direction;
    bends: Point[] | undefined;
    show: boolean;
  },
  "way"
>;

const bars: Record<Tone, string> = {
  ok: "border-l-ok",
  bad: "border-l-bad",
  run: "border-l-run",
  ask: "border-l-ask",
  idle: "border-l-strong",
};
const inks: Record<Tone, string> = {
  ok: "text-ok",
  bad: "text-bad",
  run: "text-run",
  ask: "text-ask",
  idle: "text-idle",
};

export function TaskNode({ data, selected }: NodeProps<TaskNodeType>) {
  const { node, status, live, direction } = data;
  const look = status ? lookOf(status.state) : undefined;
  const dim = live && (status === undefined || status.state === "PENDING" || status.state === "SKIPPED");
  const second = status?.detail ?? (live ? look?.word : undefined) ?? node.notes.join(" · ");
  return (
    <div
      title={[node.name, ...node.notes].join("\n")}
      className={cn(
        "h-full w-full overflow-hidden border bg-panel text-left",
        node.kind === "end" ? "rounded-full border-dashed px-3 py-1" : "rounded-md border-l-4 px-2.5 py-1.5",
        node.kind === "always" && "border-dashed",
        look && node.kind !== "end" ? bars[look.tone] : "border-l-strong",
        selected ? "border-accent outline-2 outline-accent" : "border-line",
        dim && "opacity-60",
      )}
    >
      <Ends direction={direction} />
      <div className="flex items-center gap-1.5">
        {look && (
          <look.icon
            aria-hidden
            size={14}
            className={cn("shrink-0", inks[look.tone], look.icon === LoaderCircle && "animate-spin")}
          />
        )}
        <span className={cn("truncate", node.kind === "end" ? "text-xs" : "font-medium")}>{node.name}</span>
        {status && status.visits > 1 && (
          <span className="ml-auto inline-flex shrink-0 items-center gap-0.5 text-xs text-soft">
            <Repeat2 aria-hidden size={12} />
            {status.visits}
          </span>
        )}
      </div>
      {node.kind !== "end" &&
        (status?.counts ? (
          <Counts counts={status.counts} />
        ) : (
          <div className="truncate text-xs text-soft">{second}</div>
        ))}
    </div>
  );
}

function Counts({ counts }: { counts: NonNullable<NodeStatus["counts"]> }) {
  const part = (value: number) => ({ width: `${counts.total === 0 ? 0 : (100 * value) / counts.total}%` });
  return (
    <div className="flex items-center gap-2 text-xs text-soft">
      <div aria-hidden className="flex h-1.5 flex-1 overflow-hidden rounded-full bg-raised">
        <span className="bg-ok" style={part(counts.done)} />
        <span className="bg-bad" style={part(counts.failed)} />
        <span className="bg-run" style={part(counts.running)} />
      </div>
      <span>
        {counts.done + counts.failed}/{counts.total}
        {counts.what && ` ${counts.what}`}
        {counts.failed > 0 && ` · ${counts.failed} failed`}
      </span>
    </div>
  );
}

const hidden = "!size-px !min-h-0 !min-w-0 !border-0 !bg-transparent !pointer-events-none";

function Ends({ direction }: { direction: Direction }) {
  const down = direction === "TB";
  const side = down ? Position.Right : Position.Bottom;
  const ends = [
    ["in", "target", down ? Position.Top : Position.Left],
    ["out", "source", down ? Position.Bottom : Position.Right],
    ["back-in", "target", side],
    ["back-out", "source", side],
  ] as const;
  return ends.map(([id, type, position]) => (
    <Handle key={id} id={id} type={type} position={position} className={hidden} isConnectable={false} />
  ));
}

const dashes: Record<EdgeKind, string> = { dependency: "", route: "", weak: "2 5", back: "7 4" };

/** A way: dark when it was taken, faint when not; those that lead back go around the side. */
export function Way(props: EdgeProps<WayType>) {
  const { sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition, data, markerEnd, id } = props;
  if (data === undefined) return null;
  const { path, x, y } =
    data.kind === "back"
      ? around(sourceX, sourceY, targetX, targetY, data.direction)
      : data.bends && data.bends.length > 1
        ? through({ x: sourceX, y: sourceY }, data.bends, { x: targetX, y: targetY })
        : straight(
            getBezierPath({ sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition, curvature: 0.3 }),
          );
  const taken = data.taken === undefined || data.taken > 0;
  const colour = data.taken ? "var(--accent)" : "var(--strong)";
  return (
    <>
      <BaseEdge
        id={id}
        path={path}
        {...(markerEnd ? { markerEnd } : {})}
        interactionWidth={8}
        style={{
          stroke: colour,
          strokeWidth: data.taken ? 2 : 1.2,
          strokeDasharray: dashes[data.kind],
          opacity: taken ? 1 : 0.45,
        }}
      />
      {data.show && data.label !== "" && (
        <EdgeLabelRenderer>
          <span
            className={cn(
              "absolute max-w-40 truncate rounded bg-page px-1 text-[11px] leading-4",
              taken ? "text-text" : "text-soft",
            )}
            style={{ transform: `translate(-50%, -50%) translate(${x}px, ${y}px)` }}
          >
            {data.label}
            {data.taken !== undefined && data.taken > 1 && ` · ${data.taken}×`}
          </span>
        </EdgeLabelRenderer>
      )}
    </>
  );
}

const straight = ([path, x, y]: [string, number, number, ...unknown[]]) => ({ path, x, y });

/** A soft line past points: it touches the middles between them. */
function through(start: Point, bends: Point[], end: Point) {
  const parts = [`M ${start.x} ${start.y}`];
  bends.forEach((bend, at) => {
    const next = bends[at + 1];
    const to = next ? { x: (bend.x + next.x) / 2, y: (bend.y + next.y) / 2 } : end;
    parts.push(`Q ${bend.x} ${bend.y} ${to.x} ${to.y}`);
  });
  const label = bends[Math.floor((bends.length - 1) / 2)] ?? end;
  return { path: parts.join(" "), x: label.x, y: label.y };
}

function around(fromX: number, fromY: number, toX: number, toY: number, direction: Direction) {
  if (direction === "TB") {
    const side = Math.max(fromX, toX) + 36 + Math.min(120, Math.abs(fromY - toY) / 6);
    return {
      path: `M ${fromX} ${fromY} C ${side} ${fromY}, ${side} ${toY}, ${toX} ${toY}`,
      x: side - (side - Math.max(fromX, toX)) / 4,
      y: (fromY + toY) / 2,
    };
  }
  const side = Math.max(fromY, toY) + 36 + Math.min(120, Math.abs(fromX - toX) / 6);
  return {
    path: `M ${fromX} ${fromY} C ${fromX} ${side}, ${toX} ${side}, ${toX} ${toY}`,
    x: (fromX + toX) / 2,
    y: side - (side - Math.max(fromY, toY)) / 4,
  };
}
