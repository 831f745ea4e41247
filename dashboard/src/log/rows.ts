/**
 * Which line is shown in which row of the screen. A line takes no row when it is folded away, one normally, and several
 * when it is wrapped. A tree of sums (Fenwick) finds a place among a million lines in a few steps.
 */
export class Rows {
  #counts = new Uint32Array(1024);
  #sums = new Float64Array(1025);
  #length = 0;

  get lines(): number {
    return this.#length;
  }

  get total(): number {
    return this.before(this.#length);
  }

  /** Makes it that of `length` lines with these counts. */
  rebuild(length: number, count: (line: number) => number) {
    this.#reserve(length);
    this.#length = length;
    this.#sums.fill(0);
    for (let line = 0; line < length; line++) {
      const rows = count(line);
      this.#counts[line] = rows;
      this.#sums[line + 1] = rows;
    }
    for (let node = 1; node <= length; node++) {
      const parent = node + (node & -node);
      if (parent <= length) this.#sums[parent] = (this.#sums[parent] ?? 0) + (this.#sums[node] ?? 0);
    }
  }

  push(rows: number) {
    this.#reserve(this.#length + 1);
    const node = ++this.#length;
    this.#counts[node - 1] = rows;
    // The sum of the range that ends here, from those that it consists of.
    let sum = rows;
    const first = node - (node & -node);
    for (let part = node - 1; part > first; part -= part & -part) sum += this.#sums[part] ?? 0;
    this.#sums[node] = sum;
  }

  get(line: number): number {
    return this.#counts[line] ?? 0;
  }

  set(line: number, rows: number) {
    const more = rows - this.get(line);
    if (more === 0 || line >= this.#length) return;
    this.#counts[line] = rows;
    for (let node = line + 1; node <= this.#length; node += node & -node) {
      this.#sums[node] = (this.#sums[node] ?? 0) + more;
    }
  }

  /** The first row of a line: how many rows are before it. */
  before(line: number): number {
    let sum = 0;
    for (let node = Math.min(line, this.#length); node > 0; node -= node & -node) sum += this.#sums[node] ?? 0;
    return sum;
  }

  /** The line that is shown in a row. */
  lineAt(row: number): number {
    let line = 0;
    let rest = row;
    for (let step = 1 << (31 - Math.clz32(this.#length || 1)); step > 0; step >>= 1) {
      const next = line + step;
      const sum = this.#sums[next] ?? 0;
      if (next <= this.#length && sum <= rest) {
        line = next;
        rest -= sum;
      }
    }
    return Math.min(line, Math.max(0, this.#length - 1));
  }

  #reserve(length: number) {
    if (length <= this.#counts.length) return;
    const size = Math.max(length, this.#counts.length * 2);
    const counts = new Uint32Array(size);
    counts.set(this.#counts);
    const sums = new Float64Array(size + 1);
    sums.set(this.#sums);
    this.#counts = counts;
    this.#sums = sums;
  }
}
