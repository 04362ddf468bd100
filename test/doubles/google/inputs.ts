// What an API takes of what a caller says: stricter than the APIs, which overlook what only they may say.
import { flawsOf, isObject } from './check.ts';
import type { Field, Message, Protos } from './protos.ts';

export type Problem = { readonly path: string; readonly reason: string };

/** The message that a field holds one or many of; undefined for a plain value and for a map. */
export function messageIn(protos: Protos, field: Field | undefined): Message | undefined {
  const type = field && !field.map ? protos.find(field.type, field.scope) : undefined;
  return type?.kind === 'message' ? type : undefined;
}

/** Everything in the value that a caller must not say, or did not say. */
export const problemsIn = (protos: Protos, message: Message, value: unknown): readonly Problem[] => [
  ...flawsOf(protos, message, value).map(({ path, text }) => ({ path, reason: text })),
  ...overreaches(protos, { message, value, path: '' }),
];

/** Of what an API has, that which a caller could have said. */
export function sayable(protos: Protos, message: Message, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((it) => sayable(protos, message, it));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).flatMap(([name, one]) => {
    const field = message.fields.get(name);
    if (field === undefined || field.outputOnly) return [];
    const inner = messageIn(protos, field);
    return [[name, inner ? sayable(protos, inner, one) : one] as const];
  });
  return Object.fromEntries(entries);
}

type Place = { readonly message: Message; readonly value: unknown; readonly path: string };

function overreaches(protos: Protos, { message, value, path }: Place): readonly Problem[] {
  if (!isObject(value)) return [];
  const oneofs = message.oneofs.map((names) => names.filter((name) => value[name] !== undefined)).filter(({ length }) => length > 1);
  return [
    ...oneofs.map((names) => ({ path, reason: `only one of ${names.join(', ')} may be said` })),
    ...Object.entries(value).flatMap(([name, one]) => {
      const here = path === '' ? name : `${path}.${name}`;
      const field = message.fields.get(name);
      if (field?.outputOnly) return [{ path: here, reason: 'is output only' }];
      const inner = messageIn(protos, field);
      if (!inner) return [];
      return Array.isArray(one)
        ? one.flatMap((it, index) => overreaches(protos, { message: inner, value: it, path: `${here}[${index}]` }))
        : overreaches(protos, { message: inner, value: one, path: here });
    }),
  ];
}
