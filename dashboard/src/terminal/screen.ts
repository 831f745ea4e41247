import { FitAddon } from "@xterm/addon-fit";
import { type ITheme, Terminal } from "@xterm/xterm";
import { nonce } from "../app/nonce";
import { isWeb } from "./address";
import { type Size, unsaid } from "./typist";

/** Lines that one can scroll back to. */
const scrollback = 5000;
/** When so many bytes wait to be drawn, no more are taken from the network. */
const mostWaiting = 1024 * 1024;
/** What the server takes for a size. */
const least = 2;
const most = 1000;

export interface ScreenEvents {
  /** What was typed, or what the terminal answers to the program. Only while typing is on. */
  typed: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** The address that a link under the pointer leads to; undefined when there is none any more. */
  link: (address: string | undefined) => void;
  /** Somebody pressed a link of the program: only http and https. */
  follow: (address: string) => void;
  /** The key that leaves the terminal was pressed. */
  leave: () => void;
}

/** A terminal on the page, strict about what the program in it may do with the page: draw characters, and nothing else. */
export class Screen {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #themes: MutationObserver;
  #typing = false;
  #waiting = 0;
  #drained: (() => void)[] = [];
  #disposed = false;

  constructor(place: HTMLElement, { typed, link, follow, leave }: ScreenEvents, reader: boolean) {
    const terminal = new Terminal({
      cols: unsaid.columns,
      rows: unsaid.rows,
      scrollback,
      disableStdin: true,
      screenReaderMode: reader,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--font-mono") || "monospace",
      fontSize: 13,
      theme: themeOf(place),
      minimumContrastRatio: 4.5,
      cursorInactiveStyle: "outline",
      logLevel: "off",
      // Without one the library asks by itself, and opens what it was given.
      linkHandler: {
        activate: (_, address) => isWeb(address) && follow(address),
        hover: (_, address) => link(address),
        leave: () => link(undefined),
      },
    });
    this.#terminal = terminal;
    terminal.loadAddon(this.#fit);
    // The clipboard is not the program's, whatever later versions of the library make of this.
    terminal.parser.registerOscHandler(52, () => true);
    const encoder = new TextEncoder();
    terminal.onData((text) => this.#typing && typed(encoder.encode(text)));
    terminal.onBinary((text) => this.#typing && typed(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    terminal.attachCustomKeyEventHandler((event) => this.#isForProgram(event, leave));
    withNonce(() => terminal.open(place));
    styleByProperties(terminal);
    this.#themes = new MutationObserver(() => {
      terminal.options.theme = themeOf(place);
    });
    this.#themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  get size(): Size {
    return { columns: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** Draws. What the program asks the terminal in it is answered only when typing is on. */
  write(bytes: Uint8Array) {
    this.#waiting += bytes.length;
    this.#terminal.write(bytes, () => {
      this.#waiting -= bytes.length;
      if (this.#waiting <= mostWaiting / 2) for (const resume of this.#drained.splice(0)) resume();
    });
  }

  /** Resolves when there is room to draw more. */
  room(): Promise<void> {
    if (this.#waiting <= mostWaiting || this.#disposed) return Promise.resolve();
    return new Promise((resume) => this.#drained.push(resume));
  }

  /** Whether keys go to the program. What was asked before that is not answered any more. */
  setTyping(on: boolean) {
    if (!on) {
      this.#typing = false;
      this.#terminal.options.disableStdin = true;
      return;
    }
    this.#terminal.write("", () => {
      if (this.#disposed) return;
      this.#typing = true;
      this.#terminal.options.disableStdin = false;
    });
  }

  setReader(on: boolean) {
    this.#terminal.options.screenReaderMode = on;
  }

  /** Makes it as large as its place, and says how large that is. */
  fit(): Size {
    const place = this.#fit.proposeDimensions();
    if (place !== undefined && Number.isFinite(place.cols) && Number.isFinite(place.rows)) {
      this.#terminal.resize(clamp(place.cols), clamp(place.rows));
    }
    return this.size;
  }

  focus() {
    this.#terminal.focus();
  }

  dispose() {
    this.#disposed = true;
    this.#themes.disconnect();
    this.#terminal.dispose();
    for (const resume of this.#drained.splice(0)) resume();
  }

  /** Whether a key is the program's. What is not is the page's: Tab goes on, shortcuts work. */
  #isForProgram(event: KeyboardEvent, leave: () => void): boolean {
    if (isLeave(event)) {
      if (event.type === "keydown") leave();
      event.preventDefault();
      return false;
    }
    if (this.#typing) return true;
    const by = event.type === "keydown" ? scrolls(event) : undefined;
    if (by !== undefined) {
      event.preventDefault();
      by(this.#terminal);
    }
    return false;
  }
}

/** The way out for people without a pointer, since Tab is the program's (WCAG 2.1.2). */
export const leaveKey = "Ctrl+Shift+F6";

const isLeave = (event: KeyboardEvent) => event.key === "F6" && event.ctrlKey && event.shiftKey;

function scrolls({ key, ctrlKey, metaKey, altKey }: KeyboardEvent): ((terminal: Terminal) => void) | undefined {
  if (ctrlKey || metaKey || altKey) return undefined;
  switch (key) {
    case "ArrowUp":
      return (terminal) => terminal.scrollLines(-1);
    case "ArrowDown":
      return (terminal) => terminal.scrollLines(1);
    case "PageUp":
      return (terminal) => terminal.scrollPages(-1);
    case "PageDown":
      return (terminal) => terminal.scrollPages(1);
    case "Home":
      return (terminal) => terminal.scrollToTop();
    case "End":
      return (terminal) => terminal.scrollToBottom();
    default:
      return undefined;
  }
}

const clamp = (value: number) => Math.min(most, Math.max(least, value));

const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

/** The colours of the page, which are those of its logs too. */
function themeOf(place: HTMLElement): ITheme {
  const style = getComputedStyle(place);
  const value = (name: string) => style.getPropertyValue(name).trim();
  const theme: ITheme = {
    background: value("--panel"),
    foreground: value("--text"),
    cursor: value("--accent"),
    cursorAccent: value("--on-accent"),
    selectionBackground: value("--mark"),
    scrollbarSliderBackground: value("--line"),
    scrollbarSliderHoverBackground: value("--strong"),
    scrollbarSliderActiveBackground: value("--strong"),
  };
  for (const [index, name] of names.entries()) {
    theme[name] = value(`--ansi-${index}`);
    theme[`bright${name.charAt(0).toUpperCase()}${name.slice(1)}` as `bright${Capitalize<typeof name>}`] = value(
      `--ansi-${index + 8}`,
    );
  }
  return theme;
}

/** Style sheets that the library adds while this runs carry the nonce, without which the policy refuses them. */
function withNonce(run: () => void) {
  const create = Document.prototype.createElement;
  document.createElement = (tag: string, options?: ElementCreationOptions) => {
    const element = create.call(document, tag, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    return element;
  };
  try {
    run();
  } finally {
    Reflect.deleteProperty(document, "createElement");
  }
}

/** What draws the cells of a row. The library does not show it. */
interface Insides {
  _core: {
    _renderService: {
      _renderer: { value: { _rowFactory: { _addStyle: (cell: HTMLElement, style: string) => void } } };
    };
  };
}

/** Colours that have no number are written as attributes, which the policy refuses; as properties they may be. */
function styleByProperties(terminal: Terminal) {
  const rows = (terminal as unknown as Insides)._core._renderService._renderer.value._rowFactory;
  rows._addStyle = (cell, style) => {
    cell.style.cssText += style;
  };
}
