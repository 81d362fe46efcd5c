/** The gradient of a team that is gone, for the next one. */
import type { Arena } from "./arena.ts";

/** Copies the sum of the chunks; a parameter that has no place in either memory has no gradient there. */
export function copyGradient(from: Arena, to: Arena): void {
  const places = new Map(to.layout.gradients.map(({ name }, g) => [name, g]));
  from.layout.gradients.forEach(({ name, size }, g) => {
    const place = places.get(name);
    if (place === undefined) return;
    to.floatsAt(to.gradientAt(0, place), size).set(from.floatsAt(from.gradientAt(0, g), size));
  });
}
