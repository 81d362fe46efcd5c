import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  checkSources,
  compareManifests,
  type DenoJson,
  type PackageJson,
} from "./check_exports.ts";

function manifests(): { deno: DenoJson; npm: PackageJson } {
  return {
    deno: {
      name: "@scope/thing",
      version: "1.2.3",
      license: "MIT",
      exports: { ".": "./mod.ts", "./more": "./src/more.ts" },
      imports: {
        "@types/x": "npm:@types/x@3.0.0",
        "thing/more": "./src/more.ts",
        zod: "npm:zod@4.0.0",
        "@a/b/sync": "npm:@a/b@2.0.0/sync",
      },
    },
    npm: {
      name: "thing",
      version: "1.2.3",
      license: "MIT",
      exports: {
        ".": { types: "./dist/mod.d.ts", default: "./dist/mod.js" },
        "./more": { types: "./dist/src/more.d.ts", default: "./dist/src/more.js" },
        "./config.schema.json": "./config.schema.json",
        "./package.json": "./package.json",
      },
      bin: {},
      sideEffects: ["./dist/src/tensor/*.js"],
      dependencies: { zod: "4.0.0", "@a/b": "2.0.0" },
      devDependencies: { "@types/x": "3.0.0" },
    },
  };
}

test("compareManifests() finds nothing in manifests that agree", () => {
  const { deno, npm } = manifests();
  assert.deepEqual(compareManifests(deno, npm), []);
});

test("compareManifests() finds each difference", () => {
  type Change = (deno: DenoJson, npm: PackageJson) => void;
  const rows: [Change, string][] = [
    [(d) => d.name = "@scope/other", 'name: deno.json has "other", package.json "thing"'],
    [(d) => d.version = "1.2.4", 'version: deno.json has "1.2.4", package.json "1.2.3"'],
    [(_, n) => n.license = "ISC", 'license: deno.json has "MIT", package.json "ISC"'],
    [
      (d) => delete d.exports["./more"],
      'exports["./more"] in dist/: deno.json has undefined, package.json ' +
      '{"types":"./dist/src/more.d.ts","default":"./dist/src/more.js"}',
    ],
    [
      (_, n) => n.exports["."] = "./dist/mod.js",
      'exports["."] in dist/: deno.json has {"types":"./dist/mod.d.ts","default":"./dist/mod.js"}, ' +
      'package.json "./dist/mod.js"',
    ],
    [
      (_, n) => n.dependencies.zod = "^4.0.0",
      'dependency zod: deno.json has "4.0.0", package.json "^4.0.0"',
    ],
    [
      (_, n) => n.devDependencies["@types/x"] = "3.0.1",
      'types @types/x: deno.json has "3.0.0", package.json "3.0.1"',
    ],
    [
      (_, n) => n.dependencies.left = "1.0.0",
      'dependency left: deno.json has undefined, package.json "1.0.0"',
    ],
    [
      (d) => d.imports["thing"] = "./other.ts",
      'imports["thing"] and its export: deno.json has "./other.ts", package.json "./mod.ts"',
    ],
    [
      (d) => d.imports["zod"] = "jsr:@zod/zod@4.0.0",
      'imports["zod"]: must be npm:name@version, received "jsr:@zod/zod@4.0.0"',
    ],
  ];
  for (const [change, problem] of rows) {
    const { deno, npm } = manifests();
    change(deno, npm);
    assert.equal(compareManifests(deno, npm)[0], problem);
  }
});

test("checkSources() wants packages declared and side effects listed", () => {
  const { deno, npm } = manifests();
  const sources = new Map([
    [
      "mod.ts",
      'import "./src/tensor/tf.ts";\nimport { z } from "zod";\nimport "zod/v4/core";\nimport "./src/x.ts";',
    ],
    ["src/a.ts", 'import type { B } from "zodiac";\nimport type * as F from "node:fs";'],
  ]);
  assert.deepEqual(checkSources(sources, deno, npm), [
    'mod.ts:4: "./src/x.ts" is imported for its side effects, ' +
    "but package.json's sideEffects lacks ./dist/src/x.js",
    'src/a.ts:1: "zodiac" is not in the imports of deno.json',
  ]);
});
