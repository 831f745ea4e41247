import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { policy } from "../../policy";

const dist = join(import.meta.dirname, "../../dist");

const types: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

/**
 * Where the dashboard of a server is: at its own `/`, or, when it was built without one (or `DASHBOARD=dist` is set),
 * before it at an address of ours, where `dist` is served under the same policy and everything else is passed on.
 */
export async function front(server: string): Promise<{ url: string; close: () => Promise<void> }> {
  if (process.env.DASHBOARD !== "dist") {
    const page = await fetch(`${server}/`, { headers: { Accept: "text/html" } });
    if (page.ok && (await page.text()).includes('id="root"')) return { url: server, close: async () => undefined };
  }
  await current();
  const before = createServer((asked, answer) => {
    if (/^\/(api|health|metrics)(\/|$|\?)/.test(asked.url ?? "/")) pass(server, asked, answer);
    else void file(asked.url ?? "/", answer);
  });
  await new Promise<void>((ready) => before.listen(0, "127.0.0.1", ready));
  const { port } = before.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((closed) => {
        before.close(() => closed());
        before.closeAllConnections();
      }),
  };
}

/** Fails when `dist` is not what `src` would give: nobody wants to try what was there before. */
async function current(): Promise<void> {
  const page = join(dist, "index.html");
  if (!existsSync(page)) throw new Error("this server has no dashboard, and there is no dist either: npm run build");
  const built = (await stat(page)).mtimeMs;
  const sources = join(dist, "../src");
  for (const name of await readdir(sources, { recursive: true })) {
    const source = await stat(join(sources, name));
    if (!source.isFile() || name.endsWith(".test.ts") || source.mtimeMs <= built) continue;
    throw new Error(`src/${name} is newer than dist: npm run build`);
  }
}

async function file(url: string, answer: ServerResponse): Promise<void> {
  const { pathname } = new URL(url, "http://localhost");
  const name = extname(pathname) === "" ? "/index.html" : pathname;
  try {
    const content = await readFile(join(dist, name));
    answer.writeHead(200, {
      "Content-Type": types[extname(name)] ?? "application/octet-stream",
      "Content-Security-Policy": policy,
      "X-Content-Type-Options": "nosniff",
    });
    answer.end(content);
  } catch {
    answer.writeHead(404).end();
  }
}

/** Streams too, and when one side breaks, so does the other: a page has to notice that its server is away. */
function pass(server: string, asked: IncomingMessage, answer: ServerResponse): void {
  const passed = request(`${server}${asked.url}`, { method: asked.method, headers: asked.headers }, (given) => {
    answer.writeHead(given.statusCode ?? 502, given.headers);
    answer.flushHeaders();
    given.pipe(answer);
    given.once("error", () => answer.destroy());
  });
  passed.once("error", () => {
    if (answer.headersSent) answer.destroy();
    else answer.writeHead(502).end();
  });
  answer.once("close", () => passed.destroy());
  asked.pipe(passed);
}
