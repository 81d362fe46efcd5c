/**
 * Gradients of resized images: every pixel of the result goes back to the one or two that it was
 * made of, along one axis after the other.
 *
 * tfjs' kernels of these gradients are wrong: on cpu the nearest neighbour's for more than one
 * image, on wasm both, and none knows `halfPixelCenters`.
 */
import * as core from "@tensorflow/tfjs-core";

interface Attributes {
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
}

/** Source pixels of an axis' positions, and what each contributes; all of it where left out. */
interface Source {
  readonly ids: core.Tensor;
  readonly weights?: core.Tensor;
}

/** The entries of the gradient registry. */
export const resizeGradients: readonly core.GradConfig[] = [
  resize(core.ResizeNearestNeighbor, nearest),
  resize(core.ResizeBilinear, bilinear),
];

function resize(
  kernelName: string,
  sourcesOf: (size: number, out: number, attributes: Attributes) => Source[],
): core.GradConfig {
  return {
    kernelName,
    inputsToSave: ["images"],
    gradFunc: (dy, [images], attributes) => ({
      images: () => {
        const [n, h, w, c] = images.shape;
        const [, outH, outW] = (dy as core.Tensor).shape;
        const a = attributes as unknown as Attributes;
        const rows = back(dy as core.Tensor, [n, outH, outW * c], h, sourcesOf(h, outH, a));
        const columns = back(rows, [n * h, outW, c], w, sourcesOf(w, outW, a));
        return core.reshape(columns, images.shape);
      },
    }),
  };
}

/** dy of shape [outer, out, inner] to [outer, size, inner]. */
function back(
  dy: core.Tensor,
  shape: [number, number, number],
  size: number,
  sources: readonly Source[],
): core.Tensor {
  const [outer, out, inner] = shape;
  const first = core.reshape(core.range(0, outer * size, size, "int32"), [outer, 1]);
  const sums = sources.map(({ ids, weights }) => {
    const weighted = weights === undefined
      ? dy
      : core.mul(core.reshape(dy, shape), core.reshape(weights, [out, 1]));
    return core.unsortedSegmentSum(
      core.reshape(weighted, [outer * out, inner]),
      core.reshape(core.add(first, ids), [outer * out]) as core.Tensor1D,
      outer * size,
    );
  });
  return sums.reduce((a, b) => core.add(a, b));
}

/** The kernel itself says which pixel is nearest: backends round differently. */
function nearest(
  size: number,
  out: number,
  { alignCorners, halfPixelCenters }: Attributes,
): Source[] {
  const positions = core.reshape(core.range(0, size), [1, size, 1, 1]) as core.Tensor4D;
  const shape: [number, number] = [out, 1];
  const taken = core.image.resizeNearestNeighbor(
    ...[positions, shape, alignCorners, halfPixelCenters] as const,
  );
  return [{ ids: core.cast(core.reshape(taken, [out]), "int32") }];
}

/** With p the position in the source, floor(p) has the weight 1 - frac(p), the next frac(p). */
function bilinear(
  size: number,
  out: number,
  { alignCorners, halfPixelCenters }: Attributes,
): Source[] {
  const scale = alignCorners && out > 1 ? (size - 1) / (out - 1) : size / out;
  const places = Array.from({ length: out }, (_, i) => {
    const place = halfPixelCenters ? (i + 0.5) * scale - 0.5 : i * scale;
    return Math.min(Math.max(place, 0), size - 1);
  });
  const low = places.map(Math.floor);
  const part = places.map((place, i) => place - low[i]);
  return [
    { ids: core.tensor1d(low, "int32"), weights: core.tensor1d(part.map((f) => 1 - f)) },
    { ids: core.tensor1d(places.map(Math.ceil), "int32"), weights: core.tensor1d(part) },
  ];
}
