import { type Direction, fitting, layOut } from "./layout";
import type { GraphModel } from "./model";

export interface LayoutRequest {
  model: GraphModel;
  direction: Direction | "fitting";
  box: { width: number; height: number };
}

self.onmessage = (event: MessageEvent<LayoutRequest>) => {
  const { model, direction, box } = event.data;
  self.postMessage(direction === "fitting" ? fitting(model, box) : layOut(model, direction));
};
