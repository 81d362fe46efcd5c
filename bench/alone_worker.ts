/** Trains a run in process in a thread of its own, a turn for every message. */
import type { RunConfig } from "../src/config/schema.ts";
import { type TurnTaker, turnTaker } from "./turns.ts";

/** The first message builds the run, each other one asks for a turn. */
export type Request = { readonly config: RunConfig; readonly turns: number } | "turn";

interface Scope {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(ms: number): void;
}

const scope = globalThis as unknown as Scope;
let taker: TurnTaker;

scope.onmessage = async ({ data }) => {
  if (data !== "turn") {
    taker = await turnTaker(data.config, data.turns);
    scope.postMessage(0);
  } else {
    scope.postMessage(await taker.round());
  }
};
