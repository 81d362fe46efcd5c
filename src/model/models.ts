/** The reference models, registered by their names when this module is imported. */
import { DLinear, dlinearSchema } from "./dlinear.ts";
import { layersFromJson, layersSchema } from "./layers.ts";
import { Mlp, mlpSchema } from "./mlp.ts";
import { NLinear, nlinearSchema } from "./nlinear.ts";
import { PatchTST, patchTSTSchema } from "./patch_tst.ts";
import { registerModel } from "./registry.ts";

export { DLinear, type DLinearOptions } from "./dlinear.ts";
export {
  fromLayers,
  type FromLayersOptions,
  layersFromJson,
  type LayersOptions,
} from "./layers.ts";
export { Mlp, type MlpOptions } from "./mlp.ts";
export { NLinear, type NLinearOptions } from "./nlinear.ts";
export { PatchTST, type PatchTSTOptions } from "./patch_tst.ts";

registerModel("Mlp", Mlp, mlpSchema);
registerModel("DLinear", DLinear, dlinearSchema);
registerModel("NLinear", NLinear, nlinearSchema);
registerModel("PatchTST", PatchTST, patchTSTSchema);
registerModel("Layers", layersFromJson, layersSchema);
