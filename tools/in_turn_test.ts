import { strict as assert } from "node:assert";
import { test } from "node:test";
import { inTurn } from "./in_turn.ts";

test("inTurn() keeps the lines of each together, in the order in which they began", () => {
  const lines: string[] = [];
  const begin = inTurn((line) => lines.push(line));
  const [a, b, c] = [begin(), begin(), begin()];
  b.line("b1");
  a.line("a1");
  c.line("c1");
  b.end();
  a.line("a2");
  assert.deepEqual(lines, ["a1", "a2"]);
  a.end();
  assert.deepEqual(lines, ["a1", "a2", "b1", "c1"]);
  c.line("c2");
  const d = begin();
  d.line("d1");
  c.end();
  d.line("d2");
  assert.deepEqual(lines.slice(4), ["c2", "d1", "d2"]);
});
