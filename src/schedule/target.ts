/** Schedules of another option than the learning rate: the option stands where the rate would. */
import { ConfigError, show } from "../core/errors.ts";
import { camel } from "../core/options.ts";
import type { Schedulable } from "./scheduler.ts";

type Group = Schedulable["paramGroups"][number];

/**
 * An optimizer whose `lr` is the option `target` of each group of `optimizer`: `weight_decay`,
 * `momentum`, `betas[0]`, ...; its initial value is noted as `initial_<target>`.
 *
 * @throws {ConfigError} If a group has no such number.
 */
export function targetOf(optimizer: Schedulable, target: string, path: string): Schedulable {
  if (target === "lr") return optimizer;
  optimizer.paramGroups.forEach((group, i) => {
    const numbers = Object.keys(group).filter((key) =>
      !/^(initial|base)_|^(max|min)_(lr|momentum)$/.test(key)
    );
    if (typeof read(group, target) === "number") return;
    const known = numbers.flatMap((key) => {
      const value = group[key];
      if (typeof value === "number") return [key];
      if (!Array.isArray(value)) return [];
      return value.flatMap((item, j) => typeof item === "number" ? [`${key}[${j}]`] : []);
    });
    throw new ConfigError(
      path,
      `must name a number of every parameter group, received ${show(target)}; ` +
        `group ${i} has ${known.join(", ")}`,
    );
  });
  const { defaults } = optimizer;
  const initial = defaults && read(defaults, target);
  const views = new WeakMap<Group, Group>();
  return {
    defaults: typeof initial === "number" ? { lr: initial } : undefined,
    get paramGroups(): Group[] {
      return optimizer.paramGroups.map((group) => {
        let view = views.get(group);
        if (view === undefined) views.set(group, view = viewOf(group, target));
        return view;
      });
    },
  };
}

function viewOf(group: Group, target: string): Group {
  const [key] = place(group, target);
  const initial = `initial_${target.replace(/^\w+/, key)}`;
  return {
    get lr(): number {
      return read(group, target) as number;
    },
    set lr(value: number) {
      const [key, index] = place(group, target);
      group[key] = index === undefined
        ? value
        : (group[key] as number[]).map((item, i) => i === index ? value : item);
    },
    get initial_lr(): unknown {
      return group[initial];
    },
    set initial_lr(value: unknown) {
      group[initial] = value;
    },
  };
}

function read(group: Group, target: string): unknown {
  const [key, index] = place(group, target);
  return index === undefined ? group[key] : (group[key] as unknown[] | undefined)?.[index];
}

/** `betas[0]` -> ["betas", 0]; camelCase finds the group's spelling. */
function place(group: Group, target: string): [string, number | undefined] {
  const [, name, index] = /^(\w+?)(?:\[(\d+)\])?$/.exec(target) ?? [, target];
  const key = Object.keys(group).find((key) => camel(key) === camel(name as string));
  return [key ?? name as string, index === undefined ? undefined : Number(index)];
}
