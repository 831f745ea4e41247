/** How well an entry of the palette fits: all words have to occur in it, and those at the beginning of its words count more. */
export function rank(value: string, search: string, keywords: string[] = []): number {
  const text = [value, ...keywords].join(" ").toLowerCase();
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.every((word) => text.includes(word))) return 0;
  const starts = words.filter((word) => ` ${text}`.includes(` ${word}`)).length;
  return words.length === 0 ? 1 : 0.5 + (0.5 * starts) / words.length;
}
