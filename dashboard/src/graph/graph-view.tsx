import "@xyflow/react/dist/style.css";
import "./graph.css";
import {
  Background,
  Controls,
  MarkerType,
  MiniMap,
  type NodeChange,
  Panel,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
} from "@xyflow/react";
import { ArrowDown, ArrowRight, Flag } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTheme } from "../app/theme";
import { Busy } from "../ui/kit";
import { lookOf } from "../ui/state";
import type { GraphProps } from ".";
import { type Direction, endSize, nodeSize } from "./layout";
import { edgeKey, withoutEnds } from "./model";
import { type NodeStatus, TaskNode, type TaskNodeType, Way, type WayType } from "./parts";
import { useLayout } from "./use-layout";

const nodeTypes = { task: TaskNode };
const edgeTypes = { way: Way };

/** Above so many ways their labels would hide the picture. */
const labelled = 120;
/** Below this a name cannot be read: then a part of the picture is shown instead of the whole. */
const legible = 0.55;

export default function GraphPicture(props: GraphProps) {
  return (
    <ReactFlowProvider>
      <Picture {...props} />
    </ReactFlowProvider>
  );
}

function Picture({ graph, overlay, selected, onSelect, focus, label }: GraphProps) {
  const [chosen, setChosen] = useState<Direction>();
  const [allEnds, setAllEnds] = useState(overlay === undefined && graph.nodes.length <= 14);
  const [frame, box] = useBox();
  const flow = useReactFlow<TaskNodeType, WayType>();
  const statuses = overlay?.statuses;
  const endsTaken = [...(statuses?.keys() ?? [])].filter((name) => /^[A-Z]/.test(name)).join("\n");
  const shown = useMemo(() => {
    const reached = new Set(endsTaken.split("\n"));
    return allEnds ? graph : withoutEnds(graph, (end) => reached.has(end));
  }, [graph, allEnds, endsTaken]);
  const placed = useLayout(shown, chosen ?? "fitting", box);

  const nodes = useMemo<TaskNodeType[]>(() => {
    if (!placed) return [];
    const { layout, model } = placed;
    return model.nodes.map((node, at) => {
      const status = statuses?.get(node.name);
      const size = node.kind === "end" ? endSize : nodeSize;
      return {
        id: node.name,
        type: "task",
        position: layout.places[at] ?? { x: 0, y: 0 },
        ...size,
        style: size,
        // Known without measuring: what is out of sight need not be drawn even once.
        handles: handlesOf(layout.direction, size),
        data: { node, status, live: statuses !== undefined, direction: layout.direction },
        selected: node.name === selected,
        ariaLabel: spoken(node.name, node.notes, status),
        ariaRole: "button",
      };
    });
  }, [placed, statuses, selected]);

  const edges = useMemo<WayType[]>(() => {
    if (!placed) return [];
    const { layout, model } = placed;
    const always = new Set(model.nodes.filter((node) => node.kind === "always").map((node) => node.name));
    return model.edges.map((edge, at) => {
      const taken = overlay?.taken.get(edgeKey(edge.from, edge.to)) ?? (overlay ? 0 : undefined);
      const near = edge.from === selected || edge.to === selected;
      const back = edge.kind === "back";
      // That it goes on after a success needs no word.
      const text = edge.label === "COMPLETED" ? "" : edge.label;
      return {
        id: `${edge.kind} ${edgeKey(edge.from, edge.to)}`,
        type: "way",
        source: edge.from,
        target: edge.to,
        sourceHandle: back ? "back-out" : "out",
        targetHandle: back ? "back-in" : "in",
        // What runs in any case comes last anyway: whose files it gets is shown when somebody asks.
        hidden: always.has(edge.to) && !always.has(edge.from) && !near,
        focusable: false,
        selectable: false,
        markerEnd: { type: MarkerType.ArrowClosed, color: taken ? "var(--accent)" : "var(--strong)" },
        data: {
          kind: edge.kind,
          label: near ? edge.label : text,
          taken,
          direction: layout.direction,
          bends: layout.bends[at],
          show: near || (model.edges.length <= labelled && (taken === undefined || taken > 0)),
        },
      };
    });
  }, [placed, overlay, selected]);

  // Once per layout: all of it if it can be read, else the place where something happens.
  const shownLayout = useRef<unknown>(undefined);
  const at = focus ?? selected;
  useEffect(() => {
    if (!placed || !box || shownLayout.current === placed.layout) return;
    shownLayout.current = placed.layout;
    const { layout, model } = placed;
    const whole = Math.min(box.width / (layout.width + 60), box.height / (layout.height + 60));
    const index = Math.max(
      0,
      model.nodes.findIndex((node) => node.name === at),
    );
    const place = layout.places[index] ?? { x: 0, y: 0 };
    if (whole >= legible) {
      const zoom = Math.min(whole, 1);
      void flow.setViewport({
        x: (box.width - layout.width * zoom) / 2,
        y: (box.height - layout.height * zoom) / 2,
        zoom,
      });
    } else {
      const zoom = 0.8;
      const centre = { x: place.x + nodeSize.width / 2, y: place.y + nodeSize.height / 2 };
      // Along the direction of the ways what comes before is worth seeing too; across it, the middle of all if that fits.
      if (layout.direction === "TB" && layout.width * zoom <= box.width) centre.x = layout.width / 2;
      if (layout.direction === "LR" && layout.height * zoom <= box.height) centre.y = layout.height / 2;
      void flow.setViewport({ x: box.width / 2 - centre.x * zoom, y: box.height / 2 - centre.y * zoom, zoom });
    }
  }, [placed, box, flow, at]);

  const theme = useDark();
  const direction = placed?.layout.direction ?? "TB";
  const hasEnds = graph.nodes.some((node) => node.kind === "end");
  return (
    <div ref={frame} className="relative h-full w-full">
      {placed === undefined ? (
        <Busy label="Drawing" />
      ) : (
        <ReactFlow
          aria-label={label}
          nodes={nodes}
          edges={edges}
          nodeTypes={nodeTypes}
          edgeTypes={edgeTypes}
          onlyRenderVisibleElements
          nodesDraggable={false}
          nodesConnectable={false}
          edgesFocusable={false}
          elementsSelectable={onSelect !== undefined}
          onNodesChange={(changes: NodeChange<TaskNodeType>[]) => {
            for (const change of changes)
              if (change.type === "select" && change.selected && graph.nodes.some((node) => node.name === change.id))
                onSelect?.(change.id);
          }}
          deleteKeyCode={null}
          multiSelectionKeyCode={null}
          selectionKeyCode={null}
          minZoom={0.05}
          maxZoom={1.5}
          // The page scrolls with the wheel; the picture with the wheel and Ctrl.
          preventScrolling={false}
          zoomOnScroll={false}
          colorMode={theme}
          proOptions={{ hideAttribution: true }}
        >
          <Background gap={20} />
          <Controls showInteractive={false} position="bottom-left" aria-label="Zoom" />
          {nodes.length > 40 && box !== undefined && box.width > 600 && (
            <MiniMap<TaskNodeType> pannable zoomable ariaLabel="Overview" nodeColor={colourOf} />
          )}
          <Panel position="top-right" className="!m-2 flex gap-1">
            {hasEnds && (
              <button
                type="button"
                className="tool"
                aria-pressed={allEnds}
                title="Ends that nothing has led to"
                onClick={() => setAllEnds(!allEnds)}
              >
                <Flag aria-hidden size={14} /> All ends
              </button>
            )}
            <button
              type="button"
              className="tool"
              aria-label={direction === "TB" ? "Draw from left to right" : "Draw from top to bottom"}
              title={direction === "TB" ? "Draw from left to right" : "Draw from top to bottom"}
              onClick={() => setChosen(direction === "TB" ? "LR" : "TB")}
            >
              {direction === "TB" ? <ArrowRight aria-hidden size={14} /> : <ArrowDown aria-hidden size={14} />}
            </button>
          </Panel>
        </ReactFlow>
      )}
    </div>
  );
}

function handlesOf(direction: Direction, { width, height }: { width: number; height: number }) {
  const down = direction === "TB";
  const [begin, end, side] = down
    ? [Position.Top, Position.Bottom, Position.Right]
    : [Position.Left, Position.Right, Position.Bottom];
  const at = (id: string, type: "source" | "target", position: Position) => {
    const x = position === Position.Left ? 0 : position === Position.Right ? width : width / 2;
    const y = position === Position.Top ? 0 : position === Position.Bottom ? height : height / 2;
    return { id, type, position, x, y, width: 1, height: 1 };
  };
  return [
    at("in", "target", begin),
    at("out", "source", end),
    at("back-in", "target", side),
    at("back-out", "source", side),
  ];
}

const colours = { ok: "var(--ok)", bad: "var(--bad)", run: "var(--run)", ask: "var(--ask)", idle: "var(--line)" };

function colourOf(node: TaskNodeType): string {
  const { status } = node.data;
  return status ? colours[lookOf(status.state).tone] : "var(--line)";
}

function spoken(name: string, notes: string[], status: NodeStatus | undefined): string {
  const parts = [name];
  if (status) parts.push(lookOf(status.state).word);
  if (status && status.visits > 1) parts.push(`${status.visits} visits`);
  if (status?.counts)
    parts.push(`${status.counts.done} of ${status.counts.total} ${status.counts.what ?? "items"} done`);
  return [...parts, ...notes].join(", ");
}

function useDark(): "light" | "dark" {
  useTheme();
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

function useBox(): [(element: HTMLDivElement | null) => void, { width: number; height: number } | undefined] {
  const [element, setElement] = useState<HTMLDivElement | null>(null);
  const [box, setBox] = useState<{ width: number; height: number }>();
  useEffect(() => {
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = element;
      if (width > 0 && height > 0)
        setBox((before) => (before?.width === width && before.height === height ? before : { width, height }));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [setElement, box];
}
