import type { DrawnDefinition } from "./definition";

/** Draws a definition beside the page's own work: one with thousands of tasks takes seconds. */
export function draw(source: string): Promise<DrawnDefinition> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./definition.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<DrawnDefinition>) => {
      resolve(event.data);
      worker.terminate();
    };
    worker.onerror = (event) => {
      reject(new Error(event.message || "the definition could not be drawn"));
      worker.terminate();
    };
    worker.postMessage(source);
  });
}
