/**
 * What the runtime's WebAssembly can do, found by validating and running modules of one function.
 *
 * Both modules export `f(a: f32, b: f32, c: f32) -> f32`. In text form the bodies are
 *
 *     SIMD      (f32x4.extract_lane 0 (f32x4.splat (local.get 0)))
 *     RELAXED   (f32x4.extract_lane 0 (f32x4.relaxed_madd
 *                 (f32x4.splat (local.get 0)) (f32x4.splat (local.get 1)) (f32x4.splat (local.get 2))))
 */

const SIMD = [0x20, 0, 0xfd, 0x13, 0xfd, 0x1f, 0];
// deno-fmt-ignore
const RELAXED = [
  0x20, 0, 0xfd, 0x13, 0x20, 1, 0xfd, 0x13, 0x20, 2, 0xfd, 0x13, 0xfd, 0x85, 2, 0xfd, 0x1f, 0,
];

/** Whether the runtime has 128-bit SIMD. */
export function hasSimd(): boolean {
  return WebAssembly.validate(moduleOf(SIMD));
}

/**
 * Whether `f32x4.relaxed_madd` exists and is a fused multiply-add.
 *
 * With a = b = 1 + 2^-12 and c = -(1 + 2^-11) the exact a * b + c is 2^-24; a product rounded to
 * float32 first loses that term and gives 0, as the specification allows and JavaScriptCore does.
 */
export function hasFusedRelaxedSimd(): boolean {
  const bytes = moduleOf(RELAXED);
  if (!WebAssembly.validate(bytes)) return false;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const madd = exports.f as (a: number, b: number, c: number) => number;
  return madd(1 + 2 ** -12, 1 + 2 ** -12, -(1 + 2 ** -11)) === 2 ** -24;
}

/** A module that exports `f(f32, f32, f32) -> f32` with the given body. */
function moduleOf(body: readonly number[]): Uint8Array<ArrayBuffer> {
  const code = [0, ...body, 0x0b]; // no further locals, ..., end
  // deno-fmt-ignore
  return new Uint8Array([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,                         // magic, version
    1, 8, 1, 0x60, 3, 0x7d, 0x7d, 0x7d, 1, 0x7d,                // type: (f32, f32, f32) -> f32
    3, 2, 1, 0,                                                 // one function of that type
    7, 5, 1, 1, 0x66, 0, 0,                                     // export "f"
    10, code.length + 2, 1, code.length, ...code,               // its body
  ]);
}
