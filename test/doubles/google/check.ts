import type { Enumeration, Field, Message, Protos } from './protos.ts';
import type { Json } from './run-types.ts';

/** `unknown`: a field that the API does not have. `missing`: one that it demands. `wrong`: not of its type. */
export type Flaw = { readonly kind: 'unknown' | 'missing' | 'wrong'; readonly path: string; readonly text: string };

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

const isText = (value: unknown): boolean => typeof value === 'string';
const isWhole = (value: unknown): boolean => /^-?\d+$/.test(String(value)) && (typeof value === 'string' || typeof value === 'number');
const isAnything = (): boolean => true;
/** In the words of https://protobuf.dev/programming-guides/json. */
const SCALARS: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: isText,
  bytes: (value) => typeof value === 'string' && /^[\w+/=-]*$/.test(value),
  bool: (value) => typeof value === 'boolean',
  double: (value) => typeof value === 'number',
  float: (value) => typeof value === 'number',
  ...Object.fromEntries(
    ['int32', 'uint32', 'sint32', 'fixed32', 'int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'].map((t) => [t, isWhole]),
  ),
};
const WELL_KNOWN: Readonly<Record<string, (value: unknown) => boolean>> = {
  'google.protobuf.Timestamp': (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  'google.protobuf.Duration': (value) => typeof value === 'string' && /^-?\d+(\.\d{1,9})?s$/.test(value),
  'google.protobuf.FieldMask': isText,
  'google.protobuf.Struct': isObject,
  'google.protobuf.Value': isAnything,
  'google.protobuf.ListValue': Array.isArray,
  'google.protobuf.Any': isObject,
  'google.protobuf.Empty': (value) => isObject(value) && Object.keys(value).length === 0,
  'google.protobuf.StringValue': isText,
  'google.protobuf.BoolValue': (value) => typeof value === 'boolean',
  'google.protobuf.Int32Value': isWhole,
  'google.protobuf.Int64Value': isWhole,
};

/** What is wrong with a message in JSON, by its description. */
export function flawsOf(protos: Protos, message: Message, value: unknown, path = ''): readonly Flaw[] {
  if (!isObject(value)) return [{ kind: 'wrong', path, text: `${path || message.name} must be an object` }];
  const flaws: Flaw[] = [];
  for (const [name, one] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    const field = message.fields.get(name);
    if (!field) flaws.push({ kind: 'unknown', path: at, text: `${message.name} has no field ${name}` });
    else flaws.push(...fieldFlaws(protos, field, one, at));
  }
  for (const [name, field] of message.fields) {
    const at = path === '' ? name : `${path}.${name}`;
    if (field.required && isDefault(value[name])) flaws.push({ kind: 'missing', path: at, text: `${at} is required` });
  }
  return flaws;
}

/** On the wire a value that is not set and one that is empty are the same. */
const isDefault = (value: unknown): boolean => value === undefined || value === '' || (Array.isArray(value) && value.length === 0);

function fieldFlaws(protos: Protos, field: Field, value: unknown, path: string): readonly Flaw[] {
  if (field.map) {
    if (!isObject(value)) return [{ kind: 'wrong', path, text: `${path} must be an object` }];
    return Object.entries(value).flatMap(([key, one]) => valueFlaws(protos, field, one, `${path}.${key}`));
  }
  if (!field.repeated) return valueFlaws(protos, field, value, path);
  if (!Array.isArray(value)) return [{ kind: 'wrong', path, text: `${path} must be a list` }];
  return value.flatMap((one, index) => valueFlaws(protos, field, one, `${path}[${index}]`));
}

function valueFlaws(protos: Protos, field: Field, value: unknown, path: string): readonly Flaw[] {
  const wrong = (what: string): readonly Flaw[] => [{ kind: 'wrong', path, text: `${path} must be ${what}` }];
  const scalar = SCALARS[field.type];
  if (scalar) return scalar(value) ? [] : wrong(`a ${field.type}`);
  const type = protos.find(field.type, field.scope);
  if (!type) throw new Error(`no description of ${field.type} in ${field.scope}`);
  const known = WELL_KNOWN[type.name];
  if (known) return known(value) ? [] : wrong(`a ${type.name}`);
  if (type.kind === 'message') return flawsOf(protos, type, value, path);
  return numberOf(type, value) === undefined ? wrong(`one of ${[...type.values.keys()].join(', ')}`) : [];
}

function numberOf(type: Enumeration, value: unknown): number | undefined {
  if (typeof value === 'string') return type.values.get(value);
  return typeof value === 'number' && [...type.values.values()].includes(value) ? value : undefined;
}

/** The same message with its enumerations as names (`names`) or as numbers, as a client may ask for (`enum-encoding=int`). */
export function withEnums(protos: Protos, message: Message, value: Json, as: 'names' | 'numbers'): Json {
  const one = (field: Field, it: unknown): unknown => {
    const type = SCALARS[field.type] ? undefined : protos.find(field.type, field.scope);
    if (!type || WELL_KNOWN[type.name]) return it;
    if (type.kind === 'message') return isObject(it) ? withEnums(protos, type, it, as) : it;
    const number = numberOf(type, it);
    if (as === 'numbers') return number ?? it;
    return [...type.values].find(([, theirs]) => theirs === number)?.[0] ?? it;
  };
  // The clients send every map, the empty ones too, which is the same as none.
  const isNothing = (name: string, it: unknown): boolean =>
    message.fields.get(name)?.map === true && isObject(it) && Object.keys(it).length === 0;
  const said = Object.entries(value).filter(([name, it]) => !isNothing(name, it));
  const entries = said.map(([name, it]) => {
    const field = message.fields.get(name);
    if (!field) return [name, it];
    if (field.map && isObject(it)) return [name, Object.fromEntries(Object.entries(it).map(([key, its]) => [key, one(field, its)]))];
    return [name, field.repeated && Array.isArray(it) ? it.map((its) => one(field, its)) : one(field, it)];
  });
  return Object.fromEntries(entries);
}
