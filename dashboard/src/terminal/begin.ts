/** More than this of what was written before is not drawn: it would only scroll by. */
export const mostBefore = 1024 * 1024;
/** Within so many bytes a line or a sequence begins somewhere, or there is none. */
const searched = 4096;

const newline = 0x0a;
const esc = 0x1b;

/** The byte of a log from which it is drawn. */
export const firstByte = (size: number) => Math.max(0, size - mostBefore);

/**
 * Where to begin in the first piece of a log that is not read from its start: the middle of a colour, a link or a letter
 * would be drawn as rubbish. Behind the first end of a line, or at the first escape.
 */
export function firstWhole(bytes: Uint8Array): number {
  const most = Math.min(searched, bytes.length);
  for (let at = 0; at < most; at++) {
    if (bytes[at] === newline) return at + 1;
    if (bytes[at] === esc) return at;
  }
  return 0;
}
