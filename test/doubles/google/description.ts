// Google's own descriptions of its APIs (`protos.json` in each client library), and what they say of a JSON value.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { z } from 'zod';

const options = z.looseObject({ '(google.api.field_behavior)': z.string().optional(), proto3_optional: z.boolean().optional() });
const fieldShape = z.looseObject({
  type: z.string(),
  rule: z.string().optional(),
  keyType: z.string().optional(),
  options: options.optional(),
});
export type Field = z.infer<typeof fieldShape>;

type Node = {
  readonly fields?: Readonly<Record<string, Field>> | undefined;
  readonly values?: Readonly<Record<string, number>> | undefined;
  readonly oneofs?: Readonly<Record<string, { readonly oneof: readonly string[] }>> | undefined;
  readonly nested?: Readonly<Record<string, Node>> | undefined;
};
const nodeShape: z.ZodType<Node> = z.lazy(() =>
  z.object({
    fields: z.record(z.string(), fieldShape).optional(),
    values: z.record(z.string(), z.number()).optional(),
    oneofs: z.record(z.string(), z.object({ oneof: z.array(z.string()) })).optional(),
    nested: z.record(z.string(), nodeShape).optional(),
  }),
);

export type Problem = { readonly path: string; readonly reason: string };

/** A message of an API. */
export interface Message {
  /** `google.cloud.run.v2.Service`. */
  readonly name: string;
  readonly fields: Readonly<Record<string, Field>>;
  readonly oneofs: readonly (readonly string[])[];
  /** The message that a field holds, of which it may hold many; undefined for a plain value. */
  messageOf(field: Field): Message | undefined;
  /** Names of an enum's values; undefined where the field is none. */
  enumOf(field: Field): readonly string[] | undefined;
}

/** @param library e.g. `@google-cloud/run`, in `build/protos/protos.json` */
export function openDescription(library: string): { readonly message: (name: string) => Message } {
  const path = createRequire(import.meta.url).resolve(`${library}/build/protos/protos.json`);
  const root = nodeShape.parse(JSON.parse(readFileSync(path, 'utf8')));
  const at = (name: string): Node | undefined => name.split('.').reduce<Node | undefined>((node, part) => node?.nested?.[part], root);
  /** A name that stands in `scope` is looked for there, then in what is around it. */
  const resolve = (type: string, scope: string): string | undefined => {
    for (let around = scope; ; around = around.slice(0, Math.max(0, around.lastIndexOf('.')))) {
      const name = around === '' ? type : `${around}.${type}`;
      if (at(name)) return name;
      if (around === '') return undefined;
    }
  };
  const message = (name: string): Message => {
    const node = at(name);
    if (!node?.fields) throw new Error(`${library} describes no message ${name}`);
    return {
      name,
      fields: node.fields,
      oneofs: Object.entries(node.oneofs ?? {}).flatMap(([key, { oneof }]) => (key.startsWith('_') ? [] : [oneof])),
      messageOf(field) {
        const found = resolve(field.type, name);
        return found !== undefined && at(found)?.fields ? message(found) : undefined;
      },
      enumOf(field) {
        const found = resolve(field.type, name);
        const values = found === undefined ? undefined : at(found)?.values;
        return values && Object.keys(values);
      },
    };
  };
  return { message };
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Everything in the value that the API would not take from a caller. */
export function checkMessage(message: Message, value: unknown, path: string): readonly Problem[] {
  if (!isRecord(value)) return [{ path, reason: `is no ${message.name}` }];
  const problems: Problem[] = [];
  for (const [key, given] of Object.entries(value)) {
    const field = message.fields[key];
    const here = path === '' ? key : `${path}.${key}`;
    if (!field) problems.push({ path: here, reason: `is no field of ${message.name}` });
    else if (behaviour(field) === 'OUTPUT_ONLY') problems.push({ path: here, reason: 'is output only' });
    else if (given === null || given === undefined) problems.push({ path: here, reason: 'is null' });
    else problems.push(...checkField(message, { field, given, path: here }));
  }
  for (const [key, field] of Object.entries(message.fields)) {
    if (behaviour(field) === 'REQUIRED' && (value[key] === undefined || value[key] === '')) {
      problems.push({ path: path === '' ? key : `${path}.${key}`, reason: 'is required' });
    }
  }
  for (const oneof of message.oneofs) {
    const said = oneof.filter((key) => value[key] !== undefined);
    if (said.length > 1) problems.push({ path, reason: `has more than one of ${said.join(', ')}` });
  }
  return problems;
}

const behaviour = (field: Field): string | undefined => field.options?.['(google.api.field_behavior)'];

type Given = { readonly field: Field; readonly given: unknown; readonly path: string };

function checkField(message: Message, { field, given, path }: Given): readonly Problem[] {
  if (field.keyType !== undefined) {
    if (!isRecord(given)) return [{ path, reason: 'is no map' }];
    return Object.entries(given).flatMap(([key, one]) => checkOne(message, { field, given: one, path: `${path}.${key}` }));
  }
  if (field.rule !== 'repeated') return checkOne(message, { field, given, path });
  if (!Array.isArray(given)) return [{ path, reason: 'is no list' }];
  return given.flatMap((one, index) => checkOne(message, { field, given: one, path: `${path}[${index}]` }));
}

/** Messages that JSON has a word for. */
const WELL_KNOWN: Readonly<Record<string, RegExp>> = {
  'google.protobuf.Duration': /^\d+(?:\.\d{1,9})?s$/,
  'google.protobuf.Timestamp': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/,
};

function checkOne(message: Message, { field, given, path }: Given): readonly Problem[] {
  const inner = message.messageOf(field);
  const form = inner && WELL_KNOWN[inner.name];
  if (form) return typeof given === 'string' && form.test(given) ? [] : [{ path, reason: `is no ${field.type}` }];
  if (inner) return checkMessage(inner, given, path);
  const names = message.enumOf(field);
  if (names) return names.some((name) => name === given) ? [] : [{ path, reason: `is none of ${names.join(', ')}` }];
  const isRight = PLAIN[field.type];
  if (!isRight) return [{ path, reason: `has the type ${field.type}, which this check does not know` }];
  return isRight(given) ? [] : [{ path, reason: `is no ${field.type}` }];
}

const isWhole = (value: unknown, bits: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** (bits - 1);
const PLAIN: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  bool: (value) => typeof value === 'boolean',
  int32: (value) => isWhole(value, 32),
  int64: (value) => isWhole(value, 54) || (typeof value === 'string' && /^-?\d+$/.test(value)),
  double: (value) => typeof value === 'number',
  float: (value) => typeof value === 'number',
  bytes: (value) => typeof value === 'string',
};
