/** More bytes than these, compressed, nobody is to fetch for the first page. */
export const most = 250_000;
export const kB = 1000;

/** What Vite says of something that it has built (`build.manifest`): its file, and what that needs before it runs. */
interface Built {
  file: string;
  imports?: string[];
  css?: string[];
}

/** What a browser without a cache fetches of dist/ for `/`; what it fetches later (graph, editor, terminal) is not among it. */
export function firstLoad(manifest: Record<string, Built>): Set<string> {
  const files = new Set(["index.html", "favicon.svg"]);
  const met = new Set<string>();
  const meet = (name: string) => {
    if (met.has(name)) return;
    met.add(name);
    const built = manifest[name];
    if (built === undefined) throw new Error(`Vite has built no ${name}, which belongs to the first page`);
    for (const file of [built.file, ...(built.css ?? [])]) files.add(file);
    built.imports?.forEach(meet);
  };
  // The page, and the chunk that it fetches for its address.
  meet("index.html");
  meet("src/pages/now/index.tsx");
  return files;
}

/** How many bytes these are, compressed. */
export function sum(files: Iterable<string>, size: (file: string) => number): number {
  return [...files].reduce((before, file) => before + size(file), 0);
}

/** Throws when the first page has become too large; says how large it is. */
export function check(manifest: Record<string, Built>, size: (file: string) => number): string {
  const files = firstLoad(manifest);
  const told = (bytes: number) => `${(bytes / kB).toFixed(1)} kB`;
  const all = sum(files, size);
  if (all <= most) return told(all);
  const largest = [...files].sort((a, b) => size(b) - size(a)).slice(0, 5);
  throw new Error(
    `the first page takes ${told(all)}, compressed, and may take ${told(most)}; its largest files are ` +
      `${largest.map((file) => `${file} (${told(size(file))})`).join(", ")}: import() what it does not need at once`,
  );
}
