/** A link of a description that a browser may follow. */
export interface TextLink {
  text: string;
  url: string;
}

/** Markdown without its marks, in one line: what a list shows of a description. */
export function plain(markdown: string): string {
  return markdown
    .replace(/!?\[([^\]]*)\]\([^)\s]*(?:\s[^)]*)?\)/g, "$1")
    .replace(/(\*\*|__|~~)(\S(?:.*?\S)?)\1/g, "$2")
    .replace(/`([^`]+)`/g, "$1")
    .replace(/^\s{0,3}(?:#{1,6}|>|[-*+])\s+/gm, "")
    .replace(/\s+/g, " ")
    .trim();
}

const urls = /\[([^\]]*)\]\((https?:\/\/[^)\s]+)[^)]*\)|<?(https?:\/\/[^\s<>"')\]]+)/g;

/** The http(s) links of a Markdown text, each once, in their order. */
export function links(markdown: string): TextLink[] {
  const found = new Map<string, string>();
  for (const [, text, target, bare] of markdown.matchAll(urls)) {
    const url = target ?? bare?.replace(/[.,;:!?]+$/, "");
    if (url !== undefined && URL.canParse(url) && !found.has(url)) found.set(url, text?.trim() || url);
  }
  return [...found].map(([url, text]) => ({ text, url }));
}

/** "acme/shop#57" of the address of a pull or merge request; undefined of any other. */
export function pullRequest(url: string): string | undefined {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined;
  const path = new URL(url).pathname.replace(/\/$/, "");
  const [, repository, number] =
    /^\/(.+?)(?:\/-)?\/(?:pull|pulls|merge_requests|pull-requests)\/(\d+)$/.exec(path) ?? [];
  return repository === undefined || number === undefined ? undefined : `${repository}#${number}`;
}
