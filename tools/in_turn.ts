/** Lines of several that write at once: each one's stay together, in the order in which they began. */

/** One that writes. */
export interface Turn {
  line(text: string): void;
  /** Has said everything. */
  end(): void;
}

/** Begins turns whose lines `print` gets; those of one that has to wait are kept until then. */
export function inTurn(print: (line: string) => void): () => Turn {
  const waiting: { kept: string[]; ended: boolean }[] = [];
  return () => {
    const turn = { kept: [] as string[], ended: false };
    waiting.push(turn);
    return {
      line(text): void {
        if (waiting[0] === turn) print(text);
        else turn.kept.push(text);
      },
      end(): void {
        turn.ended = true;
        while (waiting[0]?.ended) {
          waiting.shift();
          for (const line of waiting[0]?.kept.splice(0) ?? []) print(line);
        }
      },
    };
  };
}
