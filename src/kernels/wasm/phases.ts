/**
 * The gradient of a convolution's input without multiplying zeros: the inputs i of equal remainder by
 * the stride use the same taps, and
 *
 *     dx[i] = sum over taps of dy[(i + pad - tap * dilation) / stride] W[tap]
 *
 * is for them a convolution of dy, without a stride, with these taps in reverse.
 */
import type { Window } from "./window.ts";

/** Along an axis, the inputs first, first + stride, ...: how many, and the taps they use. */
export interface Phase {
  readonly first: number;
  readonly count: number;
  /** The taps firstTap, firstTap + tapStep, ...: how many. */
  readonly taps: number;
  readonly firstTap: number;
  readonly tapStep: number;
  /** Of the convolution of the gradient, with the taps in reverse. */
  readonly dilation: number;
  readonly pad: number;
}

/** The phases of an axis (0 to 2), one for each remainder. */
export function phasesOf(window: Window, axis: number): Phase[] {
  const [stride, dilation, pad, filter, size] = [
    ...[window.strides[axis], window.dilations[axis], window.pad[axis]],
    ...[window.filter[axis], window.in[axis]],
  ];
  const tapStep = stride / greatestDivisor(stride, dilation);
  return Array.from({ length: stride }, (_, first): Phase => {
    let firstTap = 0;
    while (firstTap < tapStep && (first + pad - firstTap * dilation) % stride !== 0) firstTap++;
    const isUsed = firstTap < tapStep && firstTap < filter;
    const taps = isUsed ? Math.ceil((filter - firstTap) / tapStep) : 0;
    const step = tapStep * dilation / stride;
    return {
      first,
      count: Math.max(0, Math.ceil((size - first) / stride)),
      taps,
      firstTap,
      tapStep,
      dilation: step,
      pad: (taps - 1) * step - (first + pad - firstTap * dilation) / stride,
    };
  });
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
