/** How a piece of text looks, as the escapeSequence sequences before it say (ECMA-48 SGR). */
export interface Style {
  /** 0–15: one of our own colours; a string: that colour as CSS. */
  fg?: number | string;
  bg?: number | string;
  bold?: true;
  dim?: true;
  italic?: true;
  underline?: true;
  strike?: true;
  inverse?: true;
}

/** Text of one look. */
export interface Span {
  text: string;
  style: Style;
  /** Where it leads (OSC 8), if that is a page of the web. */
  link?: string;
}

export const plainStyle: Style = Object.freeze({});

// An escape sequence: CSI, OSC (ended by BEL or ST), other strings, or two characters; or one that was cut off.
const escapeSequence =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  /\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~]?)/g;

// Other control characters, except the tab; and those that turn the direction of text around.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const control = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

function visible(text: string): string {
  return text.replace(control, (found) => {
    const code = found.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}

/** What is left to see when a program went back to the beginning of its line: what it wrote last. */
function afterReturn(line: string): string {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  return text.slice(text.lastIndexOf("\r") + 1);
}

/** A line as text: without escapeSequence sequences, and without what was overwritten. */
export function plain(line: string): string {
  const text = line.includes("\r") ? afterReturn(line) : line;
  return visible(text.includes("\x1b") ? text.replace(escapeSequence, "") : text);
}

/** A line as spans, and the style with which the next line begins. */
export function parse(line: string, style: Style = plainStyle): { spans: Span[]; end: Style } {
  let look = style;
  let link: string | undefined;
  const spans: Span[] = [];
  const push = (text: string) => {
    if (text === "") return;
    spans.push(link === undefined ? { text: visible(text), style: look } : { text: visible(text), style: look, link });
  };
  // Styles that were set in what was overwritten still hold.
  const shown = line.includes("\r") ? line.length - (line.endsWith("\r") ? 1 : 0) - afterReturn(line).length : 0;
  let at = shown;
  if (line.includes("\x1b")) {
    for (const found of line.matchAll(escapeSequence)) {
      if (found.index > at) push(line.slice(at, found.index));
      at = Math.max(at, found.index + found[0].length);
      if (found[0].startsWith("\x1b[") && found[0].endsWith("m")) look = apply(look, found[0].slice(2, -1));
      else if (found[0].startsWith("\x1b]8;")) link = target(found[0]);
    }
  }
  push(line.endsWith("\r") ? line.slice(at, -1) : line.slice(at));
  return { spans, end: look };
}

/** Where a hyperlink leads; only pages of the web are links. */
function target(sequence: string): string | undefined {
  const address = sequence
    .slice(4)
    .replace(/^[^;]*;/, "")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what ends the sequence
    .replace(/(?:\x07|\x1b\\)$/, "");
  return /^https?:\/\//i.test(address) ? address : undefined;
}

/** The style after one SGR sequence with these parameters. */
function apply(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map((each) => (each === "" ? 0 : Number(each)));
  let next: Style = { ...style };
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index] ?? 0;
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) {
      delete next.bold;
      delete next.dim;
    } else if (code === 23) delete next.italic;
    else if (code === 24) delete next.underline;
    else if (code === 27) delete next.inverse;
    else if (code === 29) delete next.strike;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 90 && code <= 97) next.fg = code - 90 + 8;
    else if (code === 39) delete next.fg;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 100 && code <= 107) next.bg = code - 100 + 8;
    else if (code === 49) delete next.bg;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, index + 1);
      index += used;
      if (colour !== undefined) next[code === 38 ? "fg" : "bg"] = colour;
    }
  }
  return Object.keys(next).length === 0 ? plainStyle : next;
}

/** A colour of 256 or of all, and how many parameters say it. */
function extended(codes: number[], at: number): [number | string | undefined, number] {
  if (codes[at] === 5) return [ofPalette(codes[at + 1]), 2];
  if (codes[at] === 2) {
    // With colons there may be a colour space before the colour (38:2::r:g:b), which reads as 0 here.
    const parts = codes.slice(at + 1, at + 4);
    if (parts.length < 3 || parts.some((each) => !(each >= 0 && each <= 255))) return [undefined, 4];
    return [`rgb(${parts.join(" ")})`, 4];
  }
  return [undefined, 1];
}

function ofPalette(index: number | undefined): number | string | undefined {
  if (index === undefined || !(index >= 0 && index <= 255)) return undefined;
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + 10 * (index - 232);
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const step = (value: number) => (value === 0 ? 0 : 55 + 40 * value);
  const cube = index - 16;
  return `rgb(${step(Math.floor(cube / 36))} ${step(Math.floor(cube / 6) % 6)} ${step(cube % 6)})`;
}
