import { strict as assert } from "node:assert";
import { test } from "node:test";
import { EventWriter } from "./tensorboard.ts";
import { crc32c } from "./tensorboard_record.ts";

test("crc32c() gives the known answers of RFC 3720", () => {
  const rows: [Uint8Array, number][] = [
    [new TextEncoder().encode("123456789"), 0xe3069283],
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    [new Uint8Array(0), 0],
  ];
  for (const [bytes, expected] of rows) assert.equal(crc32c(bytes), expected);
});

interface Event {
  wallTime: number;
  step: number;
  version?: string;
  sessionStatus?: number;
  scalars: [string, number][];
}

/** CRC-32C bit by bit: the definition, without a table. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let i = 0; i < 8; i++) crc = (crc >> 1n) ^ (crc & 1n ? 0x82f63b78n : 0n);
  }
  return Number(crc ^ 0xffffffffn);
}

/** A protobuf message as [field number, value] in order: number, or bytes of a delimited field. */
function fields(bytes: Uint8Array): [number, number | Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const out: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const number = key >> 3;
    if ((key & 7) === 0) out.push([number, varint()]);
    else if ((key & 7) === 1) out.push([number, view.getFloat64((at += 8) - 8, true)]);
    else if ((key & 7) === 5) out.push([number, view.getFloat32((at += 4) - 4, true)]);
    else {
      const length = varint();
      out.push([number, bytes.subarray(at, at += length)]);
    }
  }
  assert.equal(at, bytes.length);
  return out;
}

function decode(file: Uint8Array): Event[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const checked = (from: number, to: number): void => {
    const crc = slowCrc(file.subarray(from, to));
    const rotated = BigInt.asUintN(32, BigInt(crc) << 17n) | BigInt(crc >>> 15);
    const masked = Number(BigInt.asUintN(32, rotated + 0xa282ead8n));
    assert.equal(view.getUint32(to, true), masked);
  };
  const events: Event[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    checked(at, at + 8);
    checked(at + 12, at + 12 + length);
    const event: Event = { wallTime: NaN, step: NaN, scalars: [] };
    for (const [number, value] of fields(file.subarray(at + 12, at + 12 + length))) {
      if (number === 1) event.wallTime = value as number;
      else if (number === 2) event.step = value as number;
      else if (number === 3) event.version = new TextDecoder().decode(value as Uint8Array);
      else if (number === 7) event.sessionStatus = fields(value as Uint8Array)[0][1] as number;
      else if (number === 5) {
        for (const [, point] of fields(value as Uint8Array)) {
          const [[one, tag], [two, scalar]] = fields(point as Uint8Array);
          assert.deepEqual([one, two], [1, 2]);
          event.scalars.push([new TextDecoder().decode(tag as Uint8Array), scalar as number]);
        }
      } else assert.fail(`field ${number}`);
    }
    events.push(event);
    at += 16 + length;
  }
  return events;
}

class Files {
  readonly files = new Map<string, Uint8Array>();
  // deno-lint-ignore require-await
  async append(name: string, bytes: Uint8Array): Promise<void> {
    this.files.set(name, Uint8Array.from([...this.files.get(name) ?? [], ...bytes]));
  }
  // deno-lint-ignore require-await
  async truncate(name: string, length: number): Promise<void> {
    this.files.set(name, this.files.get(name)!.slice(0, length));
  }
}

const clock = { now: () => 0, wall: () => 1_700_000_000_042 };

test("EventWriter writes version and scalars as checksummed records", async () => {
  const target = new Files();
  const writer = new EventWriter(target, { clock });
  writer.scalar("train/loss", 0.1, 1);
  await writer.flush();
  writer.scalars({ "val/mse": NaN, "val/\u00e9": -2.5 }, 300);
  writer.scalar("late", 1e30, 2 ** 40 + 5);
  await writer.flush();
  await writer.flush();
  assert.match(
    writer.name,
    /^tensorboard\/events\.out\.tfevents\.1700000000\.042\.downhill\.\d+\.\d+$/,
  );
  assert.deepEqual([...target.files.keys()], [writer.name]);
  const wallTime = 1_700_000_000.042;
  assert.deepEqual(decode(target.files.get(writer.name)!), [
    { wallTime, step: 0, version: "brain.Event:2", scalars: [] },
    { wallTime, step: 1, scalars: [["train/loss", Math.fround(0.1)]] },
    { wallTime, step: 300, scalars: [["val/mse", NaN], ["val/\u00e9", -2.5]] },
    { wallTime, step: 2 ** 40 + 5, scalars: [["late", Math.fround(1e30)]] },
  ]);
});

test("EventWriter of a resumed run starts a session one step after the resume point", async () => {
  const target = new Files();
  const first = new EventWriter(target, { clock, folder: "tb" });
  const second = new EventWriter(target, { clock, folder: "tb", resumeIteration: 500 });
  assert.ok(first.name.startsWith("tb/events.out.tfevents."));
  assert.notEqual(first.name, second.name);
  await second.flush();
  const wallTime = 1_700_000_000.042;
  assert.deepEqual(decode(target.files.get(second.name)!), [
    { wallTime, step: 501, version: "brain.Event:2", scalars: [] },
    { wallTime, step: 501, sessionStatus: 1, scalars: [] },
  ]);
});
