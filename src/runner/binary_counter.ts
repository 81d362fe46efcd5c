/**
 * Adds values one by one in a binary tree whose shape depends on their number only: equal subtrees
 * merge as a binary counter carries, what is left at the end merges from the right. Chunks of 2^k
 * values, each added by itself, make the same tree.
 */
export class BinaryCounter<T> {
  readonly #add: (left: T, right: T) => T;
  readonly #subtrees: { value: T; leaves: number }[] = [];

  constructor(add: (left: T, right: T) => T) {
    this.#add = add;
  }

  /** The subtrees that have not merged. */
  get open(): readonly T[] {
    return this.#subtrees.map(({ value }) => value);
  }

  push(value: T): void {
    const tree = this.#subtrees;
    tree.push({ value, leaves: 1 });
    while (tree.length > 1 && tree[tree.length - 1].leaves === tree[tree.length - 2].leaves) {
      this.#merge();
    }
  }

  /** The sum of what was pushed, which was at least one value. */
  total(): T {
    while (this.#subtrees.length > 1) this.#merge();
    return this.#subtrees[0].value;
  }

  #merge(): void {
    const right = this.#subtrees.pop()!;
    const left = this.#subtrees.pop()!;
    const leaves = left.leaves + right.leaves;
    this.#subtrees.push({ value: this.#add(left.value, right.value), leaves });
  }
}
