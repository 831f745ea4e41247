/** Whether an address leads to the web, and not to a script, a file or another program. */
export function isWeb(address: string): boolean {
  try {
    return ["http:", "https:"].includes(new URL(address).protocol);
  } catch {
    return false;
  }
}
