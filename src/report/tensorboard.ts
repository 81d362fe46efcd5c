/**
 * TensorBoard event files: scalars only, encoded by hand.
 *
 * A file is a row of TFRecords, each `length u64, crc(length) u32, data, crc(data) u32`, little-endian,
 * with masked CRC-32C; the data is a protobuf message `Event`. The first event names the version.
 * https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 */
import { type Clock, systemClock } from "../core/clock.ts";
import { hostProcess } from "../core/host.ts";
import { AppendBuffer, type AppendTarget, concatenate } from "./append_buffer.ts";
import { type Field, field, record } from "./tensorboard_record.ts";

/** How a writer starts. */
export interface EventWriterOptions {
  /** Folder of the event file. @default "tensorboard" */
  readonly folder?: string;
  /**
   * The iteration a resumed run starts after: TensorBoard then drops points of older files in the
   * folder from the iteration after it on, so that none is shown twice.
   */
  readonly resumeIteration?: number;
  readonly clock?: Clock;
}

let writers = 0;

/** Writes one new event file; scalars wait in memory until `flush`. */
export class EventWriter {
  /** The file, relative to the target: names sort in the order of their making. */
  readonly name: string;
  readonly #buffer: AppendBuffer;
  readonly #clock: Clock;

  constructor(target: AppendTarget, options: EventWriterOptions = {}) {
    const { folder = "tensorboard", resumeIteration, clock = systemClock } = options;
    this.#clock = clock;
    this.name = `${folder}/${fileName(clock.wall(), hostProcess?.pid ?? 0, writers++)}`;
    this.#buffer = new AppendBuffer(target, this.name);
    const step = resumeIteration === undefined ? 0 : resumeIteration + 1;
    this.#event(step, field.text(FILE_VERSION, "brain.Event:2"));
    if (resumeIteration !== undefined) {
      this.#event(step, field.message(SESSION_LOG, [field.integer(STATUS, STATUS_START)]));
    }
  }

  /** The point (`step`, `value`) of the curve `tag`; values are stored as float32. */
  scalar(tag: string, value: number, step: number): void {
    this.scalars({ [tag]: value }, step);
  }

  /** One point for each of several tags. */
  scalars(values: Readonly<Record<string, number>>, step: number): void {
    const points = Object.entries(values).map(([tag, value]) =>
      field.message(VALUE, [field.text(TAG, tag), field.float(SIMPLE_VALUE, value)])
    );
    this.#event(step, field.message(SUMMARY, points));
  }

  /** Appends the waiting events; after a failure they wait on. */
  async flush(): Promise<void> {
    await this.#buffer.flush();
  }

  #event(step: number, what: Field): void {
    const time = field.double(WALL_TIME, this.#clock.wall() / 1000);
    this.#buffer.push(record(concatenate([time, field.integer(STEP, step), what])));
  }
}

// Field numbers of Event, SessionLog, Summary and Summary.Value.
const [WALL_TIME, STEP, FILE_VERSION, SUMMARY, SESSION_LOG] = [1, 2, 3, 5, 7];
const [STATUS, STATUS_START] = [1, 1];
const VALUE = 1;
const [TAG, SIMPLE_VALUE] = [1, 2];

/** TensorBoard reads the files of a folder in the order of their names: milliseconds break ties. */
function fileName(wallMs: number, pid: number, count: number): string {
  const seconds = String(Math.floor(wallMs / 1000)).padStart(10, "0");
  const milliseconds = String(Math.floor(wallMs) % 1000).padStart(3, "0");
  return `events.out.tfevents.${seconds}.${milliseconds}.downhill.${pid}.${count}`;
}
