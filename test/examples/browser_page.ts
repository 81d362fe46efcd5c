/** A page: opens the browser example on wasm as its index.html does, then trains it on cpu. */

/** Hands what the page shows, and the losses on cpu, to the test. */
export async function open(html: string): Promise<void> {
  history.replaceState(null, "", "?backend=wasm&wasm=/wasm");
  document.body.innerHTML = html;
  const { train } = await import("../../examples/browser/main.ts");
  const cells = [...document.querySelectorAll("#losses td")].map((cell) => cell.textContent);
  const status = document.querySelector("#status")!.textContent;
  const losses: number[] = [];
  const { backend } = await train((_, loss) => losses.push(loss), "cpu");
  (globalThis as unknown as { done(value: unknown): void }).done({
    cells,
    status,
    losses,
    backend,
  });
}
