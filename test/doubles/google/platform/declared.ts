import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a field takes, as the declarations of `@pulumi/gcp` have it: they are made from the provider's own schema. */
type Shape =
  | { readonly is: 'string'; readonly oneOf: readonly string[] }
  | { readonly is: 'number' | 'boolean' }
  | { readonly is: 'list' | 'map'; readonly of: Shape }
  | { readonly is: 'object'; readonly fields: () => Fields };
type Field = { readonly shape: Shape; readonly need: 'required' | 'optional' };
type Fields = ReadonlyMap<string, Field>;

const ROOT = dirname(fileURLToPath(import.meta.resolve('@pulumi/gcp/package.json')));
/** What stands for a value that only an `up` will know. */
export const UNKNOWN = '04da6b54-80e4-46f7-96ec-b56ff0331ba9';

const nested = lazily(() => readFileSync(join(ROOT, 'types/input.d.ts'), 'utf8'));
const byType = new Map<string, Fields>();

/** Everything that is wrong with a resource's inputs: fields that do not exist, that are missing, that have another type or value. */
export function problemsOf(type: string, inputs: Readonly<Record<string, unknown>>): readonly string[] {
  const known = byType.get(type) ?? fieldsOfResource(type);
  byType.set(type, known);
  return checkObject(inputs, known, type);
}

function checkObject(value: object, fields: Fields, at: string): readonly string[] {
  const given = Object.entries(value).filter(([, one]) => one !== undefined && one !== null);
  const unknown = given.filter(([name]) => !fields.has(name)).map(([name]) => `${at}.${name} does not exist`);
  const names = given.map(([name]) => name);
  const missing = [...fields]
    .filter(([name, { need }]) => need === 'required' && !names.includes(name))
    .map(([name]) => `${at}.${name} is missing`);
  const wrong = given.flatMap(([name, one]) => {
    const field = fields.get(name);
    return field === undefined ? [] : check(one, field.shape, `${at}.${name}`);
  });
  return [...unknown, ...missing, ...wrong];
}

function check(value: unknown, shape: Shape, at: string): readonly string[] {
  if (value === UNKNOWN) return [];
  switch (shape.is) {
    case 'string':
      if (typeof value !== 'string') return [`${at} is no text`];
      return shape.oneOf.length === 0 || shape.oneOf.includes(value) ? [] : [`${at} is ${value}, none of ${shape.oneOf.join(', ')}`];
    case 'number':
    case 'boolean':
      return typeof value === shape.is ? [] : [`${at} is no ${shape.is}`];
    case 'list':
      return Array.isArray(value) ? value.flatMap((one, index) => check(one, shape.of, `${at}[${index}]`)) : [`${at} is no list`];
    case 'map':
      return isObject(value) ? Object.entries(value).flatMap(([key, one]) => check(one, shape.of, `${at}.${key}`)) : [`${at} is no map`];
    case 'object':
      return isObject(value) ? checkObject(value, shape.fields(), at) : [`${at} is no object`];
    default:
      return shape satisfies never;
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);

/** `gcp:compute/uRLMap:URLMap` is declared by whichever file of the folder `compute` says so. */
function fieldsOfResource(type: string): Fields {
  const [, module = '', name = ''] = type.split(':');
  const folder = join(ROOT, module.split('/')[0] ?? '');
  const file = readdirSync(folder).find(
    (one) => one.endsWith('.js') && readFileSync(join(folder, one), 'utf8').includes(`__pulumiType = '${type}'`),
  );
  if (file === undefined) throw new Error(`@pulumi/gcp has no resource ${type}`);
  return fieldsIn(block(readFileSync(join(folder, file.replace(/\.js$/, '.d.ts')), 'utf8'), `export interface ${name}Args {`));
}

/** The text between a line's brace and the brace that stands as far to the left. */
function block(text: string, head: string): string {
  const from = text.indexOf(head);
  if (from === -1) throw new Error(`no ${head}`);
  const indent = text.slice(text.lastIndexOf('\n', from) + 1, from).match(/^ */)?.[0] ?? '';
  return text.slice(from + head.length, text.indexOf(`\n${indent}}`, from));
}

const FIELD = /(?:\/\*\*(?<doc>(?:(?!\*\/)[\s\S])*)\*\/\s*)?^ +(?<name>\w+)(?<optional>\??): (?<type>(?:[^;{]|\{[^}]*\})+);/gm;

function fieldsIn(text: string): Fields {
  return new Map(
    [...text.matchAll(FIELD)].map(({ groups }) => {
      const { doc = '', name = '', optional = '', type = '' } = { ...groups };
      return [name, { shape: shapeOf(type.replace(/\s+/g, ' ').trim(), doc), need: optional === '?' ? 'optional' : 'required' }];
    }),
  );
}

function shapeOf(type: string, doc: string): Shape {
  const plain = type.replace(/ \| undefined$/, '');
  const list = /^(.*)\[\]$/.exec(plain);
  if (list?.[1]) return { is: 'list', of: shapeOf(list[1], doc) };
  const wrapped = /^pulumi\.Input<(.*)>$/.exec(plain);
  if (wrapped?.[1]) return shapeOf(wrapped[1], doc);
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(plain);
  if (map?.[1]) return { is: 'map', of: shapeOf(map[1], doc) };
  if (plain === 'string') return { is: 'string', oneOf: possibleValues(doc) };
  if (plain === 'number' || plain === 'boolean') return { is: plain };
  const reference = /^inputs\.(\w+)\.(\w+)$/.exec(plain);
  if (reference === null) throw new Error(`a type that is not understood: ${plain}`);
  const [, module = '', name = ''] = reference;
  return {
    is: 'object',
    fields: lazily(() => fieldsIn(block(block(nested(), `export declare namespace ${module} {`), `interface ${name} {`))),
  };
}

/** Google's description says of most what else is refused. */
function possibleValues(doc: string): readonly string[] {
  const words = doc.replace(/\s*\n\s*\*\s?/g, ' ');
  const said = /(?:Possible|Allowed) values(?: are)?: ((?:`[^`]*`(?:, | and |, and )?)+)\./.exec(words)?.[1] ?? '';
  return [...said.matchAll(/`"?([^`"]*)"?`/g)].map(([, value = '']) => value);
}

function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
