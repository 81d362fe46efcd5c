/**
 * Where text for people goes: lines, and on a terminal one status line below them that is redrawn
 * in place. Nothing else in the library writes to the console.
 */
import { hostProcess } from "../core/host.ts";

/** A sink for text. */
export interface Output {
  /** One line, above the status if there is one. */
  line(text: string): void;
  /** One line for errors; `line` stands in where it is absent. */
  error?(text: string): void;
  /** Replaces the status line; "" removes it. Present only where text can be redrawn. */
  status?(text: string): void;
}

/** What `terminalOutput` needs of a process. */
export interface TerminalStreams {
  readonly stdout: {
    write(text: string): unknown;
    readonly isTTY?: boolean;
    readonly columns?: number;
  };
  readonly stderr: { write(text: string): unknown };
}

let listens = false;

/**
 * Standard output and standard error of the process; in a browser its console. Once their reader has
 * gone (`| head -1`) what is written to them is dropped, and the process goes on.
 */
export function consoleOutput(): Output {
  if (hostProcess !== undefined) {
    if (!listens) [hostProcess.stdout, hostProcess.stderr].forEach(outliveReader);
    listens = true;
    return terminalOutput(hostProcess);
  }
  return { line: (text) => console.log(text), error: (text) => console.error(text) };
}

/** Without a listener a write to a closed pipe ends the process. */
function outliveReader(stream: NonNullable<typeof hostProcess>["stderr"]): void {
  stream.on("error", (error) => {
    if (error.code !== "EPIPE") throw error;
  });
}

/** Output to given streams; with a status line when standard output is a terminal. */
export function terminalOutput({ stdout, stderr }: TerminalStreams): Output {
  if (stdout.isTTY !== true) {
    return {
      line: (text) => void stdout.write(`${text}\n`),
      error: (text) => void stderr.write(`${text}\n`),
    };
  }
  const eraseLine = "\r\x1b[K";
  let status = "";
  const draw = (text: string): void => void stdout.write(text);
  /** A status that wraps cannot be erased: it is cut to one column less than the width. */
  const fit = (): string => status.slice(0, Math.max(1, (stdout.columns || 80) - 1));
  const above = (print: () => void): void => {
    if (status !== "") draw(eraseLine);
    print();
    if (status !== "") draw(fit());
  };
  return {
    line: (text) => above(() => draw(`${text}\n`)),
    error: (text) => above(() => void stderr.write(`${text}\n`)),
    status: (text) => {
      if (text === status) return;
      status = text;
      draw(`${eraseLine}${fit()}`);
    },
  };
}
