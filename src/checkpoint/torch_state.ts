/**
 * torch optimizer checkpoints.
 *
 * A safetensors file holds named tensors and text, so the state dict goes in as `state.<index>.<slot>`
 * and its groups as JSON; in Python:
 *
 *     d = optimizer.state_dict()
 *     tensors = {}
 *     for i, slots in d["state"].items():
 *         for k, v in slots.items():
 *             if isinstance(v, list):                       # L-BFGS keeps lists of vectors
 *                 v = [torch.as_tensor(x) for x in v if x is not None]
 *                 v = torch.stack(v) if v else torch.empty(0)
 *             if v is not None:
 *                 tensors[f"state.{i}.{k}"] = torch.as_tensor(v).contiguous()
 *     safetensors.torch.save_file(tensors, "optimizer.safetensors",
 *                                 {"param_groups": json.dumps(d["param_groups"])})
 *
 * Linear weights are [out, in] in torch and [in, out] here, and so is what an optimizer keeps of them,
 * within the flat vectors of L-BFGS too.
 */
import { CheckpointError, show } from "../core/errors.ts";
import { readPatterns } from "../optim/groups.ts";
import type { HostTensor, Optimizer, SavedState } from "../optim/optimizer.ts";
import { decodeSafetensors } from "./safetensors.ts";

/** A slot of a torch state dict on the host: a number, nested arrays (`tolist()`), or values with their shape. */
export type TorchValue = number | null | NestedArray | HostTensor;

/** Nested arrays of numbers. */
export type NestedArray = readonly (number | null | NestedArray)[];

/** `optimizer.state_dict()` with host values. */
export interface TorchStateDict {
  readonly state: Readonly<Record<string, Readonly<Record<string, TorchValue>>>>;
  readonly param_groups: readonly (Readonly<Record<string, unknown>> & {
    readonly params: readonly number[];
  })[];
}

/** How a torch state fits an optimizer here. */
export interface FromTorchOptions {
  /**
   * Which matrices to transpose: all, or those of the parameters whose names match regular
   * expressions. The weights themselves must be transposed in the same way. Default: none.
   */
  readonly transpose?: boolean | string | RegExp | readonly (string | RegExp)[];
  /** Names of torch's parameters by index; default: the groups' own `param_names`. */
  readonly names?: readonly string[];
  /** From a name in torch to the name here; default: the same. */
  readonly rename?: (name: string) => string;
  /** The optimizer to load into: the state is put into its groups by name. Default: order as in torch. */
  readonly optimizer?: Optimizer;
}

/**
 * A torch optimizer checkpoint as `loadStateDict` takes it.
 *
 * @param source The bytes of a safetensors file as in the head of this page, or a plain object.
 * @throws {CheckpointError} If names are needed and missing, or do not fit the optimizer.
 *
 * @example
 * ```ts ignore
 * const state = fromTorchStateDict(await Deno.readFile("optimizer.safetensors"), {
 *   transpose: "\\.weight$",
 *   optimizer,
 * });
 * optimizer.loadStateDict(state);
 * ```
 */
export function fromTorchStateDict(
  source: Uint8Array | TorchStateDict,
  options: FromTorchOptions = {},
): SavedState {
  const dict = source instanceof Uint8Array ? decode(source) : source;
  if (typeof dict?.state !== "object" || !Array.isArray(dict.param_groups)) {
    throw new CheckpointError("torch state: must hold state and param_groups");
  }
  const { transpose = false, rename = (name: string) => name, optimizer } = options;
  const names = namesOf(dict, options);
  const turned = turnedBy(transpose);
  if (optimizer === undefined && transpose !== false && isFlat(dict.state)) {
    throw new CheckpointError(
      "torch state: the flat vectors of LBFGS can be transposed only for an optimizer; give it",
    );
  }
  const state: Record<string, Record<string, number | HostTensor>> = {};
  for (const [index, slots] of Object.entries(dict.state)) {
    const name = names.get(index);
    if (name === undefined && (Array.isArray(transpose) || typeof transpose !== "boolean")) {
      throw new CheckpointError(`torch state: no name is known for parameter ${index}; give names`);
    }
    state[index] = slotsOf(slots, turned(name ?? ""), `torch state: state.${index}`);
  }
  if (optimizer === undefined) return { state, param_groups: dict.param_groups };
  return intoGroups(dict, state, names, { rename, turned, optimizer });
}

/** The state dict in a safetensors file. */
function decode(bytes: Uint8Array): TorchStateDict {
  const { tensors, metadata } = decodeSafetensors(bytes, "torch state");
  if (metadata.param_groups === undefined) {
    throw new CheckpointError("torch state: the file's metadata must hold param_groups as JSON");
  }
  const state: Record<string, Record<string, TorchValue>> = {};
  for (const [key, { data, shape }] of Object.entries(tensors)) {
    const [, index, slot] = /^state\.(\d+)\.(.+)$/.exec(key) ?? [];
    if (slot === undefined) {
      throw new CheckpointError(
        `torch state: tensors are named state.<index>.<slot>, received ${show(key)}`,
      );
    }
    (state[index] ??= Object.create(null))[slot] = {
      data: Array.from(data as ArrayLike<number>, Number),
      shape,
    };
  }
  try {
    return { state, param_groups: JSON.parse(metadata.param_groups) };
  } catch {
    throw new CheckpointError(
      `torch state: param_groups must be JSON, received ${show(metadata.param_groups)}`,
    );
  }
}

/** Names by index. */
function namesOf(
  { param_groups }: TorchStateDict,
  { names }: FromTorchOptions,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const { params, param_names } of param_groups) {
    params.forEach((index: number, i: number) => {
      const name = names?.[index] ?? (Array.isArray(param_names) ? param_names[i] : undefined);
      if (typeof name === "string") found.set(String(index), name);
    });
  }
  return found;
}

function turnedBy(
  transpose: NonNullable<FromTorchOptions["transpose"]>,
): (name: string) => boolean {
  if (typeof transpose === "boolean") return () => transpose;
  const patterns = readPatterns(transpose, "transpose");
  return (name) => patterns.some(({ regex }) => regex.test(name));
}

/** The slots of one parameter; those of a transposed matrix transposed. */
function slotsOf(
  slots: Readonly<Record<string, TorchValue>>,
  turned: boolean,
  where: string,
): Record<string, number | HostTensor> {
  const out: Record<string, number | HostTensor> = {};
  for (const [key, value] of Object.entries(slots)) {
    const host = hostValue(value, `${where}.${key}`);
    if (host === undefined) continue;
    const isMatrix = turned && typeof host !== "number" && slots.old_dirs === undefined;
    out[key] = isMatrix ? transposed(host) : host;
  }
  if (!turned) return out;
  // Adafactor's means over the rows of a matrix are means over columns of the transpose.
  const { row_var, col_var } = out;
  if (typeof row_var === "object" && row_var.shape.length === 2) {
    [out.row_var, out.col_var] = [col_var, row_var];
  }
  return out;
}

/** A number or a host tensor; undefined for what torch has not made yet. */
function hostValue(value: TorchValue, where: string): number | HostTensor | undefined {
  if (value === null) return undefined;
  if (typeof value === "number") return value;
  if (!Array.isArray(value)) return value as HostTensor;
  const shape: number[] = [];
  for (let level: unknown = value; Array.isArray(level); level = level[0]) shape.push(level.length);
  const data = value.flat(shape.length as 1) as (number | null)[];
  if (data.includes(null)) return undefined;
  if (data.length !== shape.reduce((n, size) => n * size, 1)) {
    throw new CheckpointError(`${where}: must be a regular array of shape [${shape}]`);
  }
  return { data: data as number[], shape };
}

function transposed(host: HostTensor): HostTensor {
  if (host.shape.length !== 2) return host;
  const [rows, columns] = host.shape;
  const data = Array.from(
    { length: rows * columns },
    (_, i) => host.data[(i % rows) * columns + Math.floor(i / rows)],
  );
  return { data, shape: [columns, rows] };
}

/** State and hyperparameters in the groups of `optimizer`. */
function intoGroups(
  { param_groups }: TorchStateDict,
  state: Readonly<Record<string, Readonly<Record<string, number | HostTensor>>>>,
  names: Map<string, string>,
  { rename, turned, optimizer }: {
    readonly rename: (name: string) => string;
    readonly turned: (name: string) => boolean;
    readonly optimizer: Optimizer;
  },
): SavedState {
  const from = new Map<string, { index: string; group: number }>();
  param_groups.forEach(({ params }, group) => {
    for (const index of params) {
      const name = names.get(String(index));
      if (name !== undefined) from.set(rename(name), { index: String(index), group });
    }
  });
  const wanted = optimizer.paramGroups.flatMap((group) => group.names);
  const missing = wanted.find((name) => !from.has(name));
  const left = [...from.keys()].find((name) => !wanted.includes(name));
  if (missing !== undefined || left !== undefined) {
    throw new CheckpointError(
      missing !== undefined
        ? `torch state: has no parameter ${show(missing)}; names: ${[...from.keys()].join(", ")}`
        : `torch state: ${show(left)} is no parameter of the optimizer`,
    );
  }
  const named: Record<string, SavedState["state"][string]> = {};
  if (isFlat(state)) {
    const turnedHere = [...from].map(([name, { index }]) =>
      [name, turned(names.get(index)!)] as const
    );
    const places = flatPlaces(new Map(turnedHere), optimizer);
    named[wanted[0]] = rearranged(Object.values(state)[0], places);
  } else {
    for (const [name, { index }] of from) {
      if (state[index] !== undefined) named[name] = state[index];
    }
  }
  return {
    state: named,
    param_groups: optimizer.paramGroups.map((group, i) => {
      const sources = new Set(group.names.map((name) => from.get(name)!.group));
      if (sources.size > 1) {
        throw new CheckpointError(
          `torch state: group ${i} would join parameters of the groups ${[...sources].join(", ")}`,
        );
      }
      const [source] = sources;
      return { ...param_groups[source], params: [...group.names] };
    }),
  };
}

/** Whether it is the state of L-BFGS: flat vectors over all parameters, kept by the first. */
function isFlat(state: Readonly<Record<string, object>>): boolean {
  return Object.values(state).some((slots) => "old_dirs" in slots);
}

/** Where each element of the optimizer's flat vector stands in torch's; `turned` is in torch's order. */
function flatPlaces(turned: ReadonlyMap<string, boolean>, optimizer: Optimizer): Int32Array {
  const { variables } = optimizer.parameters!;
  const offsets = new Map<string, number>();
  let size = 0;
  for (const name of turned.keys()) {
    offsets.set(name, size);
    size += variables.get(name)!.size;
  }
  const places = new Int32Array(size);
  let at = 0;
  for (const { names } of optimizer.paramGroups) {
    for (const name of names) {
      const { shape, size } = variables.get(name)!;
      const [rows, columns] = turned.get(name) && shape.length === 2 ? shape : [size, 1];
      for (let i = 0; i < size; i++) {
        places[at++] = offsets.get(name)! + (i % columns) * rows + Math.floor(i / columns);
      }
    }
  }
  return places;
}

/** The slots with every vector, or row of vectors, in another order. */
function rearranged(
  slots: Readonly<Record<string, number | HostTensor>>,
  places: Int32Array,
): Record<string, number | HostTensor> {
  const entries = Object.entries(slots).map(([key, value]) => {
    const size = typeof value === "number" ? 0 : value.shape.at(-1);
    if (typeof value === "number" || size !== places.length) return [key, value];
    const data = Array.from(value.data, (_, i) => value.data[i - i % size + places[i % size]]);
    return [key, { data, shape: value.shape }];
  });
  return Object.fromEntries(entries);
}
