import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The program that is tried: $ATTA, or what `cargo build` makes. */
const program = resolve(process.env.ATTA ?? join(import.meta.dirname, "../../../target/debug/atta"));

// The shell stays between us and the program so that nothing outlives us, not even when we are killed: our end of the
// pipe is closed then, and it ends the program and removes what that wrote. While we live, we write a signal's name.
const guard = `
directory=$1; shift
"$@" </dev/null 3<&- & program=$!
(
  if read -r signal; then kill -"$signal" $program; exit; fi
  kill -TERM $program
  while kill -0 $program; do sleep 0.1; done
  rm -rf -- "$directory"
) <&3 >/dev/null 2>&1 &
exec 3<&-
wait $program
`;

/** `serve`, or `demo`, which plays three issues and then leaves its server to whoever wants to look around. */
export type Command = "serve" | "demo";

const whenReady: Record<Command, RegExp> = {
  serve: /ready at http:\/\/(\S+)/,
  demo: /The server goes on at http:\/\/(\S+)/,
};

/** A server: a process of its own with a data directory of its own. */
export class Program {
  readonly directory: string;
  readonly #command: Command;
  readonly #arguments: string[];
  readonly #environment: Record<string, string>;
  #shell: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #address = "127.0.0.1:0";
  #log = "";

  private constructor(directory: string, command: Command, args: string[], environment: Record<string, string>) {
    this.directory = directory;
    this.#command = command;
    this.#arguments = args;
    this.#environment = environment;
  }

  static async start(
    args: string[],
    environment: Record<string, string> = {},
    command: Command = "serve",
  ): Promise<Program> {
    const directory = await mkdtemp(join(tmpdir(), "atta-browser-"));
    const server = new Program(directory, command, args, environment);
    try {
      await server.start();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  /** Where it answers; the same after a restart. */
  get url(): string {
    return `http://${this.#address}`;
  }

  /** What it has said on stderr. */
  get log(): string {
    return this.#log;
  }

  /** Writes a file beside the data and returns its path. */
  async file(name: string, text: string): Promise<string> {
    const path = join(this.directory, name);
    await writeFile(path, text);
    return path;
  }

  async read(name: string): Promise<string> {
    return await readFile(join(this.directory, name), "utf8");
  }

  async start(): Promise<void> {
    const data = join(this.directory, "data");
    const begin = {
      serve: ["serve", "--listen", this.#address, "--data-dir", data, "--shutdown-grace", "1"],
      demo: ["demo", "--keep", "--dir", join(this.directory, "demo")],
    };
    const args = [...begin[this.#command], ...this.#arguments].map((each) => each.replaceAll("{dir}", this.directory));
    const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("ATTA"));
    const shell = spawn("sh", ["-c", guard, "sh", this.directory, program, ...args], {
      env: { ...Object.fromEntries(kept), HOME: this.directory, ...this.#environment },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      // What ends our whole group (^C) must not end the shell, which cleans up.
      detached: true,
    });
    this.#shell = shell;
    this.#ended = new Promise((ended) => shell.once("exit", () => ended()));
    shell.stderr?.on("data", (text) => {
      this.#log += text;
    });
    this.#address = await new Promise<string>((ready, failed) => {
      let said = "";
      shell.once("error", failed);
      shell.once("exit", (code) => failed(new Error(`${program} ended with ${code}: ${said}`)));
      const listen = (text: string) => {
        said += text;
        const address = whenReady[this.#command].exec(said)?.[1];
        if (address !== undefined) ready(address);
      };
      shell.stdout?.on("data", listen);
      shell.stderr?.on("data", listen);
    });
  }

  /** Ends the process: asks it to with TERM, or makes it disappear with KILL. The data stays. */
  async end(signal: "TERM" | "KILL" = "TERM"): Promise<void> {
    const pipe = this.#shell?.stdio[3];
    if (pipe && "write" in pipe && pipe.writable) pipe.write(`${signal}\n`);
    await this.#ended;
    this.#shell = undefined;
  }

  async remove(): Promise<void> {
    await this.end();
    await rm(this.directory, { recursive: true, force: true });
  }
}
