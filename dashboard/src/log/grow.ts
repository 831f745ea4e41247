/** Numbers one behind the other, in typed arrays that double when they are full. */
export class Numbers {
  length = 0;
  #at = new Float64Array(1024);

  get(index: number): number {
    return this.#at[index] ?? 0;
  }

  set(index: number, value: number) {
    this.#at[index] = value;
  }

  push(value: number) {
    if (this.length === this.#at.length) {
      const more = new Float64Array(this.length * 2);
      more.set(this.#at);
      this.#at = more;
    }
    this.#at[this.length++] = value;
  }

  clear() {
    this.length = 0;
  }

  /** The index of the last entry that is not above `value`, of ascending numbers; -1 when all are. */
  lastUpTo(value: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#at[middle] ?? 0) <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
