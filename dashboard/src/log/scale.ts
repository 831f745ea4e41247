/** Browsers know no element that is higher than some 17 million pixels: this is surely less. */
const highest = 12_000_000;
/** Near both ends a pixel of the scroll bar is a pixel of the text. */
const edge = 3_000_000;

/** How a text of `height` pixels, of which `seen` are seen at once, fits an element that a browser can scroll. */
export class Scale {
  /** How high the element is. */
  readonly element: number;
  readonly #text: number;
  readonly #bar: number;

  constructor(height: number, seen: number) {
    this.element = Math.min(height, highest);
    this.#text = Math.max(0, height - seen);
    this.#bar = Math.max(0, this.element - seen);
  }

  /** The largest offset within the text. */
  get end(): number {
    return this.#text;
  }

  /** The offset within the text for a position of the scroll bar. */
  toText(scrollTop: number): number {
    const bar = Math.min(Math.max(scrollTop, 0), this.#bar);
    if (this.#text === this.#bar || bar <= edge) return bar;
    if (bar >= this.#bar - edge) return this.#text - (this.#bar - bar);
    return edge + ((bar - edge) * (this.#text - 2 * edge)) / (this.#bar - 2 * edge);
  }

  /** The position of the scroll bar for an offset within the text. */
  toBar(offset: number): number {
    const text = Math.min(Math.max(offset, 0), this.#text);
    if (this.#text === this.#bar || text <= edge) return text;
    if (text >= this.#text - edge) return this.#bar - (this.#text - text);
    return edge + ((text - edge) * (this.#bar - 2 * edge)) / (this.#text - 2 * edge);
  }

  /**
   * Where the text is after the scroll bar has moved: a small move (wheel, key, finger) moves the text as far as the
   * bar; a large one (the bar was dragged) leads to where the bar is.
   */
  moved(offset: number, from: number, to: number, small: number): number {
    const by = to - from;
    if (this.#text === this.#bar || to <= edge || to >= this.#bar - edge || Math.abs(by) > small)
      return this.toText(to);
    return Math.min(Math.max(offset + by, 0), this.#text);
  }
}
