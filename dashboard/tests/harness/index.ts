import { test as plain } from "vitest";
import { World } from "./world";

export { accessible, attack, fits, harmless, hostile, tabTo } from "./checks";
export { Client } from "./client";
export { type Look, World } from "./world";

/** A test with a `world` of its own, and no other server than that. */
export const test = plain.extend<{ world: World }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads from the pattern what a fixture needs
  world: async ({}, use) => {
    const world = await World.start();
    let failed = true;
    try {
      await use(world);
      failed = false;
    } finally {
      await world.stop().catch((error: unknown) => {
        if (!failed) throw error;
      });
    }
  },
});
