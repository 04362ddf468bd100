import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';

const { resolve } = createRequire(import.meta.url);

export type Field = {
  readonly type: string;
  readonly repeated: boolean;
  readonly map: boolean;
  readonly required: boolean;
  /** Said by Google alone. */
  readonly outputOnly: boolean;
  /** In the first segment of the name's scope: `google.cloud.run.v2.Service`. */
  readonly scope: string;
};
export type Message = {
  readonly kind: 'message';
  readonly name: string;
  readonly fields: ReadonlyMap<string, Field>;
  /** Fields of which one at most may be said. */
  readonly oneofs: readonly (readonly string[])[];
};
export type Enumeration = { readonly kind: 'enum'; readonly name: string; readonly values: ReadonlyMap<string, number> };
/** One way to call a method over HTTP. `body`: `*`, the field that is the body, or null without one. */
export type Binding = { readonly verb: string; readonly template: string; readonly body: string | null };
export type Method = {
  readonly name: string;
  readonly request: string;
  readonly response: string;
  readonly bindings: readonly Binding[];
};

/** What a client library's own `protos.json` says of an API. */
export type Protos = {
  /** The message or enumeration of that name, looked for from `scope` outwards as protobuf does. */
  find(type: string, scope: string): Message | Enumeration | undefined;
  message(name: string): Message;
  methods(service: string): readonly Method[];
};

type Node = {
  readonly fields?: Readonly<Record<string, z.infer<typeof FieldJson>>> | undefined;
  readonly values?: Readonly<Record<string, number>> | undefined;
  readonly oneofs?: Readonly<Record<string, z.infer<typeof OneofJson>>> | undefined;
  readonly methods?: Readonly<Record<string, z.infer<typeof MethodJson>>> | undefined;
  readonly nested?: Readonly<Record<string, Node>> | undefined;
};
const Options = z.record(z.string(), z.unknown());
const FieldJson = z.object({ type: z.string(), rule: z.string().optional(), keyType: z.string().optional(), options: Options.optional() });
const MethodJson = z.object({ requestType: z.string(), responseType: z.string(), parsedOptions: z.array(Options).optional() });
const OneofJson = z.object({ oneof: z.array(z.string()) });
const NodeJson: z.ZodType<Node> = z.object({
  fields: z.record(z.string(), FieldJson).optional(),
  values: z.record(z.string(), z.number()).optional(),
  oneofs: z.record(z.string(), OneofJson).optional(),
  methods: z.record(z.string(), MethodJson).optional(),
  nested: z
    .record(
      z.string(),
      z.lazy(() => NodeJson),
    )
    .optional(),
});

const VERBS = ['get', 'post', 'put', 'patch', 'delete'] as const;
type Opened = { readonly types: Map<string, Message | Enumeration>; readonly services: Map<string, readonly Method[]> };
const opened = new Map<string, Protos>();

/** Reads the descriptions that come with a client library, e.g. `@google-cloud/run`; once in a process. */
export function openProtos(library: string): Protos {
  const known = opened.get(library);
  if (known) return known;
  const file = join(rootOf(library), 'build/protos/protos.json');
  const all: Opened = { types: new Map(), services: new Map() };
  walk(all, NodeJson.parse(JSON.parse(readFileSync(file, 'utf8'))), '');
  const find = (type: string, scope: string): Message | Enumeration | undefined => {
    for (let at = scope; ; at = at.slice(0, Math.max(at.lastIndexOf('.'), 0))) {
      const found = all.types.get(at === '' ? type : `${at}.${type}`);
      if (found || at === '') return found;
    }
  };
  const protos: Protos = {
    find,
    message(name) {
      const found = all.types.get(name);
      if (found?.kind !== 'message') throw new Error(`${library} describes no message ${name}`);
      return found;
    },
    methods(service) {
      const found = all.services.get(service);
      if (!found) throw new Error(`${library} describes no service ${service}`);
      return found;
    },
  };
  opened.set(library, protos);
  return protos;
}

/** The library's own folder: its exports may not lead to its package.json. */
function rootOf(library: string): string {
  let folder = dirname(resolve(library));
  while (!folder.endsWith(library)) folder = dirname(folder);
  return folder;
}

function walk(all: Opened, node: Node, path: string): void {
  if (node.fields) {
    const oneofs = Object.values(node.oneofs ?? {}).map(({ oneof }) => oneof);
    all.types.set(path, { kind: 'message', name: path, fields: fieldsOf(node.fields, path), oneofs });
  }
  if (node.values) all.types.set(path, { kind: 'enum', name: path, values: new Map(Object.entries(node.values)) });
  if (node.methods) {
    const methods = Object.entries(node.methods).map(([name, method]) => methodOf(name, method, { all, path }));
    all.services.set(path, methods);
  }
  for (const [name, child] of Object.entries(node.nested ?? {})) walk(all, child, path === '' ? name : `${path}.${name}`);
}

function fieldsOf(fields: NonNullable<Node['fields']>, scope: string): ReadonlyMap<string, Field> {
  const entries = Object.entries(fields).map(([name, field]) => {
    const behaviour = JSON.stringify(field.options?.['(google.api.field_behavior)'] ?? '');
    const own = { type: field.type, repeated: field.rule === 'repeated', map: field.keyType !== undefined, scope };
    return [name, { ...own, required: behaviour.includes('REQUIRED'), outputOnly: behaviour.includes('OUTPUT_ONLY') }] as const;
  });
  return new Map(entries);
}

function methodOf(name: string, method: z.infer<typeof MethodJson>, { path }: { readonly all: Opened; readonly path: string }): Method {
  const scope = path.slice(0, path.lastIndexOf('.'));
  const full = (type: string): string => (type.includes('.') ? type : `${scope}.${type}`);
  const rules = (method.parsedOptions ?? []).flatMap((options) => rulesOf(options['(google.api.http)']));
  return { name, request: full(method.requestType), response: full(method.responseType), bindings: rules };
}

function rulesOf(rule: unknown): readonly Binding[] {
  const parsed = Options.safeParse(rule);
  if (!parsed.success) return [];
  const body = typeof parsed.data.body === 'string' ? parsed.data.body : null;
  const own = VERBS.flatMap((verb) => {
    const template = parsed.data[verb];
    return typeof template === 'string' ? [{ verb: verb.toUpperCase(), template, body }] : [];
  });
  const more = parsed.data.additional_bindings;
  const others = Array.isArray(more) ? more.flatMap(rulesOf) : rulesOf(more);
  return [...own, ...others];
}
