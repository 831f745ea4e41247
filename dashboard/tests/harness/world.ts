import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { Client } from "./client";
import { front } from "./front";
import { type Command, Program } from "./program";
import { type Sheet, watched } from "./sheet";

export interface Look {
  /** A small screen that is touched. */
  phone?: boolean;
  dark?: boolean;
  /** What the person signed in with. */
  token?: string;
  width?: number;
  /** Things may move; without it the person has asked for that not to be. */
  motion?: boolean;
}

let browser: Promise<Browser> | undefined;

/** One Chromium for all tests of a file. It ends with the process that started it. */
function chrome(): Promise<Browser> {
  browser ??= chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-dev-shm-usage",
    ],
  });
  return browser;
}

/** A server with its dashboard, and people who look at it. */
export class World {
  readonly server: Program;
  readonly api: Client;
  /** Where the dashboard is. */
  readonly url: string;
  readonly #close: () => Promise<void>;
  readonly #sheets: Sheet[] = [];
  readonly #contexts: BrowserContext[] = [];

  private constructor(server: Program, url: string, close: () => Promise<void>, token?: string) {
    this.server = server;
    this.api = new Client(server.url, token);
    this.url = url;
    this.#close = close;
  }

  /** `{dir}` in an argument is the directory of this world. */
  static async start(
    args: string[] = ["--slots", "4"],
    {
      environment = {},
      token,
      command = "serve",
    }: { environment?: Record<string, string>; token?: string; command?: Command } = {},
  ): Promise<World> {
    const server = await Program.start(args, environment, command);
    try {
      const { url, close } = await front(server.url);
      return new World(server, url, close, token);
    } catch (error) {
      await server.remove();
      throw error;
    }
  }

  /** Opens a page of the dashboard. What it complains about fails the test. */
  async open(path: string, look: Look = {}): Promise<Page> {
    return (await this.sheet(path, look)).page;
  }

  async sheet(
    path: string,
    { phone = false, dark = false, token, width = 1440, motion = false }: Look = {},
  ): Promise<Sheet> {
    const context = await (await chrome()).newContext({
      colorScheme: dark ? "dark" : "light",
      reducedMotion: motion ? "no-preference" : "reduce",
      locale: "en-GB",
      timezoneId: "Europe/Berlin",
      acceptDownloads: true,
      ...(phone
        ? { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }
        : { viewport: { width, height: 900 } }),
    });
    this.#contexts.push(context);
    context.setDefaultTimeout(60_000);
    const sheet = await watched(context);
    this.#sheets.push(sheet);
    if (token !== undefined) {
      await sheet.page.addInitScript((value) => sessionStorage.setItem("atta.token", value), token);
    }
    await sheet.page.goto(`${this.url}${path}`);
    // By its name it is not there while a dialog is open.
    await sheet.page.locator("main").waitFor();
    return sheet;
  }

  /** Opens a tab beside a page, in the same browser. */
  async beside(page: Page, path: string): Promise<Page> {
    const sheet = await watched(page.context());
    this.#sheets.push(sheet);
    await sheet.page.goto(`${this.url}${path}`);
    await sheet.page.locator("main").waitFor();
    return sheet.page;
  }

  /** The server disappears and comes back; `between` is what happens meanwhile. */
  async restart(between: () => Promise<void> = async () => undefined, signal: "TERM" | "KILL" = "KILL") {
    for (const sheet of this.#sheets)
      sheet.allow(/ERR_|Failed to load resource: the server responded with a status of 50/);
    await this.server.end(signal);
    await between();
    await this.server.start();
  }

  /** What people see, in `screenshots/failed`: for whoever has to find out why a test failed. */
  async pictures(name: string): Promise<void> {
    const folder = join(import.meta.dirname, "../../screenshots/failed");
    await mkdir(folder, { recursive: true });
    for (const [number, { page }] of this.#sheets.entries()) {
      const file = `${name.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 80)}-${number}.png`;
      await page.screenshot({ path: join(folder, file) });
    }
  }

  /** Ends everything. Throws when a page complained. */
  async stop(): Promise<void> {
    const problems = this.#sheets.flatMap((sheet) => sheet.problems);
    for (const context of this.#contexts) await context.close();
    await this.#close();
    await this.server.remove();
    if (problems.length > 0) throw new Error(`pages complained:\n${[...new Set(problems)].join("\n")}`);
  }

  /** Throws when a page has complained so far, and forgets it: for worlds that several tests share. */
  quiet(): void {
    const problems = this.#sheets.splice(0).flatMap((sheet) => sheet.problems);
    if (problems.length > 0) throw new Error(`pages complained:\n${[...new Set(problems)].join("\n")}`);
  }
}
