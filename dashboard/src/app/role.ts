import type { Api } from "../api/client";

/** Each may do what those before it may. That of an ant is beside them. */
const order: readonly Api<"Role">[] = ["viewer", "submitter", "operator", "admin"];

/** Whether who has a role may do what needs another one. */
export function covers(has: Api<"Role">, needed: Api<"Role">): boolean {
  return has === needed || (order.includes(needed) && order.indexOf(has) > order.indexOf(needed));
}
