// How `@pulumi/gcp` spells what the APIs say: lists in the plural, lists that hold one as the one.
import { isObject } from './check.ts';
import { messageIn, type Problem } from './inputs.ts';
import type { Message, Protos } from './protos.ts';
import type { Json } from './run-types.ts';

/** `one`: an object with Pulumi, a list of one with the API. `list`: the other way round, for what only Google says. */
type Other = { readonly api: string; readonly as?: 'one' | 'list' };
/** `words`: by the message's short name, then by Pulumi's name of the field. What is not there has one name. */
export type Spelling = { readonly protos: Protos; readonly words: Readonly<Record<string, Readonly<Record<string, Other>>>> };

const shortOf = ({ name }: Message): string => name.slice(name.lastIndexOf('.') + 1);

/** Pulumi's inputs as the API has them. A name that only the API knows is a problem: the real provider would not know it. */
export function toApi(
  message: Message,
  value: unknown,
  { protos, words: all }: Spelling,
): { readonly json: unknown; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const convert = (inner: Message, given: unknown, path: string): unknown => {
    if (!isObject(given)) return given;
    const words = all[shortOf(inner)] ?? {};
    const entries = Object.entries(given).flatMap(([key, one]): [string, unknown][] => {
      const here = path === '' ? key : `${path}.${key}`;
      if (Object.entries(words).some(([name, { api }]) => api === key && name !== key)) {
        problems.push({ path: here, reason: 'has another name with Pulumi' });
        return [];
      }
      const { api, as } = words[key] ?? { api: key };
      const part = messageIn(protos, inner.fields.get(api));
      const go = (it: unknown, at: string): unknown => (part ? convert(part, it, at) : it);
      const list = as === 'one' && !Array.isArray(one) ? [one] : one;
      return [[api, Array.isArray(list) ? list.map((it, index) => go(it, `${here}[${index}]`)) : go(list, here)]];
    });
    return Object.fromEntries(entries);
  };
  return { json: convert(message, value, ''), problems };
}

/** What the API says, as Pulumi has it in its state. */
export function fromApi(message: Message, value: Json, spelling: Spelling): Record<string, unknown> {
  const words = Object.entries(spelling.words[shortOf(message)] ?? {});
  return Object.fromEntries(
    Object.entries(value).map(([key, one]): [string, unknown] => {
      const [name = key, other] = words.find(([, { api }]) => api === key) ?? [];
      const part = messageIn(spelling.protos, message.fields.get(key));
      const go = (it: unknown): unknown => (part && isObject(it) ? fromApi(part, it, spelling) : it);
      if (other?.as === 'one' && Array.isArray(one)) return [name, go(one[0])];
      if (other?.as === 'list') return [name, [go(one)]];
      return [name, Array.isArray(one) ? one.map(go) : go(one)];
    }),
  );
}
