import { useBackend } from "/work/wt/kernels/test/support/backend.ts";
import * as tf from "/work/wt/kernels/src/tensor/tf.ts";
import { installKernels, contextOf } from "/work/wt/kernels/src/kernels/wasm/install.ts";
import { hasFusedRelaxedSimd } from "/work/wt/kernels/src/backend/wasm_features.ts";
import { TILES } from "/work/wt/kernels/src/kernels/wasm/tiles.ts";
await useBackend("wasm");
for (const fused of hasFusedRelaxedSimd() ? [false, true] : [false]) {
for (const tile of TILES) {
installKernels({ fused, tile });
const row=[`${fused} ${tile}`];
for (const n of [64,256,512,1024]) for (const [ta,tb] of [[false,false],[true,false],[false,true],[true,true]] as const) {
  const a=tf.randomNormal([n,n]), b=tf.randomNormal([n,n]);
  const f=()=>tf.matMul(a,b,ta,tb).dispose();
  const reps=Math.max(1,Math.round(4e8/(2*n**3)));
  let best=1e9; for(let r=0;r<5;r++){const t=performance.now(); for(let i=0;i<reps;i++) f(); best=Math.min(best,(performance.now()-t)/reps);}
  row.push((2*n**3/best/1e6).toFixed(1)); a.dispose(); b.dispose();
}
console.log(row.join(" "));
}}
