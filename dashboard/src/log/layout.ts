import { Rows } from "./rows";
import { type Group, type LogStore, longestShown } from "./store";

/** Which lines of a log take how many rows of the screen: what is folded none, what is wrapped several. */
export class Layout {
  readonly #store: LogStore;
  readonly #rows = new Rows();
  readonly #folded = new Set<Group>();
  #columns = 0;
  /** How long the last line was when its rows were counted. */
  #size = 0;
  /** Without folds and wrapping every line is a row, and nothing has to be counted. */
  #plain = true;

  constructor(store: LogStore) {
    this.#store = store;
  }

  get total(): number {
    return this.#plain ? this.#store.lines : this.#rows.total;
  }

  get foldedCount(): number {
    return this.#folded.size;
  }

  isFolded(group: Group): boolean {
    return this.#folded.has(group);
  }

  /** Characters in a row; 0 when lines are not wrapped. */
  wrap(columns: number) {
    if (columns === this.#columns) return;
    this.#columns = columns;
    this.#rebuild();
  }

  fold(groups: readonly Group[], folded: boolean) {
    for (const group of groups) {
      if (folded) this.#folded.add(group);
      else this.#folded.delete(group);
    }
    this.#rebuild();
  }

  /** Opens whatever hides a line. */
  reveal(line: number) {
    const hiding = [...this.#folded].filter((group) => group.start < line && line <= this.#store.groupEnd(group));
    if (hiding.length > 0) this.fold(hiding, false);
  }

  /** Takes notice of lines that have come. */
  sync() {
    if (this.#plain) return;
    const known = this.#rows.lines;
    // What was measured stands unless the line has grown: who measures draws anew, and would never come to an end.
    if (known > 0 && this.#store.size(known - 1) !== this.#size) this.#rows.set(known - 1, this.#count(known - 1));
    if (this.#store.lines - known > 10_000) return this.#rebuild();
    for (let line = known; line < this.#store.lines; line++) this.#rows.push(this.#count(line));
    this.#remember();
  }

  /** How many rows a line takes. */
  rows(line: number): number {
    return this.#plain ? 1 : this.#rows.get(line);
  }

  /** What was found out about a line by looking at it. */
  measured(line: number, rows: number) {
    if (!this.#plain) this.#rows.set(line, rows);
  }

  /** The first row of a line. */
  before(line: number): number {
    return this.#plain ? line : this.#rows.before(line);
  }

  lineAt(row: number): number {
    return this.#plain ? Math.min(Math.floor(row), Math.max(0, this.#store.lines - 1)) : this.#rows.lineAt(row);
  }

  /** The line that is shown next behind a line. */
  next(line: number): number {
    if (this.#plain) return line + 1;
    const row = this.before(line) + this.rows(line);
    return row >= this.total ? this.#store.lines : this.lineAt(row);
  }

  #count(line: number): number {
    for (const group of this.#folded) {
      if (group.start < line && line <= this.#store.groupEnd(group)) return 0;
    }
    return this.#height(line);
  }

  #height(line: number): number {
    if (this.#columns === 0) return 1;
    return Math.max(1, Math.ceil(Math.min(this.#store.size(line), longestShown) / this.#columns));
  }

  #remember() {
    const { lines } = this.#store;
    this.#size = lines === 0 ? 0 : this.#store.size(lines - 1);
  }

  #rebuild() {
    this.#plain = this.#columns === 0 && this.#folded.size === 0;
    if (this.#plain) return;
    const folded = [...this.#folded].sort((a, b) => a.start - b.start);
    let at = 0;
    let hidden = -1;
    this.#rows.rebuild(this.#store.lines, (line) => {
      for (let group = folded[at]; group !== undefined && group.start < line; group = folded[++at]) {
        hidden = Math.max(hidden, this.#store.groupEnd(group));
      }
      return line <= hidden ? 0 : this.#height(line);
    });
    this.#remember();
  }
}
