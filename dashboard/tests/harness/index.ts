import { test as plain } from "vitest";
import { World } from "./world";

export { accessible, attack, fits, harmless, hostile, live, loaded, tabTo } from "./checks";
export { Client } from "./client";
export { type Look, World } from "./world";

/** A test with a `world` of its own, and no other server than that. */
export const test = plain.extend<{ world: World }>({
  world: async ({ task }, use) => {
    const world = await World.start();
    await use(world);
    // What a test throws does not come by here: what became of it does.
    const failed = task.result?.state === "fail";
    if (failed) await world.pictures(task.name);
    await world.stop().catch((error: unknown) => {
      if (!failed) throw error;
    });
  },
});
