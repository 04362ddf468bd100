import { problemsOf } from './declared.ts';
import { KINDS, type Kind } from './kinds.ts';

export type Inputs = Readonly<Record<string, unknown>>;
export type Made = { readonly type: string; readonly id: string; readonly inputs: Inputs; readonly outputs: Inputs };

/** What Google answers with. */
export class Refused extends Error {}

/** A project as the Google Cloud provider sees it: everything of the platform that was made in it. */
export interface PlatformProject {
  readonly project: string;
  readonly number: string;
  /** Subnetworks whose addresses Cloud Run has not given back yet. */
  readonly servesFrom: Set<string>;
  all(): readonly Made[];
  has(id: string): boolean;
  /** Members that may be granted something. */
  identities(): readonly string[];
  next(of: string): number;
  hostOf(instance: string): string;
  check(type: string, inputs: Inputs): readonly string[];
  create(type: string, inputs: Inputs): Made;
  update(type: string, id: string, inputs: Inputs): Made;
  read(type: string, id: string): Made | undefined;
  remove(type: string, id: string, state: Inputs): void;
  /** The next create or update whose id has this in it is refused with these words. */
  failNext(part: string, words: string): void;
  /** Called when something is there and the provider does not know it yet: it goes on once that resolves. */
  onMade: (type: string) => Promise<void>;
  /** Everything that was created, updated and deleted, in order. */
  readonly deeds: string[];
}

export function openPlatformProject(project = 'acme-previews', number = '123456789012'): PlatformProject {
  const made = new Map<string, Made>();
  const burnt = new Set<string>();
  const counters = new Map<string, number>();
  const failures: { part: string; words: string }[] = [];
  const deeds: string[] = [];
  const keyOf = (type: string, id: string): string => `${type} ${id}`;
  const fail = (id: string): void => {
    const at = failures.findIndex(({ part }) => id.includes(part));
    const [failure] = at === -1 ? [] : failures.splice(at, 1);
    if (failure) throw new Refused(failure.words);
  };
  const refuse = (kind: Kind, inputs: Inputs): void => {
    const api = `${project}/${kind.api}.googleapis.com`;
    if (kind.api !== '' && kind.api !== 'serviceusage' && !self.has(api)) throw new Refused(`Error 403: SERVICE_DISABLED: ${api}`);
    for (const needed of kind.needs?.(inputs, self) ?? []) if (!self.has(needed)) throw new Refused(`Error 404: ${needed} not found`);
    const refusal = kind.refuses?.(inputs, self);
    if (refusal !== undefined) throw new Refused(refusal);
  };
  const self: PlatformProject = {
    project,
    number,
    servesFrom: new Set(),
    onMade: async () => undefined,
    deeds,
    all: () => [...made.values()],
    has: (id) => [...made.values()].some((one) => one.id === id || one.outputs.selfLink === id),
    identities: () => [...made.values()].flatMap(({ outputs }) => (typeof outputs.member === 'string' ? [outputs.member] : [])),
    next(of) {
      counters.set(of, (counters.get(of) ?? 0) + 1);
      return counters.get(of) ?? 0;
    },
    // The same for the same server each time, whatever its generation.
    hostOf: (instance) =>
      `10.82.0.${3 + ([...instance.replace(/-[0-9a-f]{8}$/, '')].reduce((sum, one) => sum * 31 + one.charCodeAt(0), 7) % 250)}`,
    check: (type, inputs) => (KINDS[type] === undefined ? [`this double knows no ${type}`] : problemsOf(type, inputs)),
    create(type, inputs) {
      const kind = kindOf(type);
      refuse(kind, inputs);
      const id = kind.id(inputs, self);
      if (!id.includes(project) && !/^(?:[a-z]|projects\/)/.test(id)) throw new Refused(`Error 404: ${id}`);
      fail(id);
      if (made.has(keyOf(type, id)) || burnt.has(keyOf(type, id))) throw new Refused(`Error 409: ${id} already exists`);
      const one = { type, id, inputs, outputs: { ...inputs, ...kind.outputs?.(inputs, id, self) } };
      made.set(keyOf(type, id), one);
      deeds.push(`create ${id}`);
      return one;
    },
    update(type, id, inputs) {
      const kind = kindOf(type);
      if (!made.has(keyOf(type, id))) throw new Refused(`Error 404: ${id} not found`);
      refuse(kind, inputs);
      fail(id);
      const one = { type, id, inputs, outputs: { ...inputs, ...kind.outputs?.(inputs, id, self) } };
      made.set(keyOf(type, id), one);
      deeds.push(`update ${id}`);
      return one;
    },
    read: (type, id) => made.get(keyOf(type, id)),
    remove(type, id, state) {
      const kind = kindOf(type);
      const there = made.get(keyOf(type, id));
      if (there === undefined) return;
      fail(id);
      // The provider only forgets these; with the parent they go.
      if (state.deletionPolicy !== 'ABANDON') {
        const stays = kind.stays?.({ ...there.inputs, ...state }, id, self);
        if (stays !== undefined) throw new Refused(stays);
      }
      made.delete(keyOf(type, id));
      if (kind.nameIsFree === 'never') burnt.add(keyOf(type, id));
      deeds.push(`delete ${id}`);
    },
    failNext: (part, words) => void failures.push({ part, words }),
  };
  return self;
}

export function kindOf(type: string): Kind {
  const kind = KINDS[type];
  if (kind === undefined) throw new Error(`this double knows no ${type}`);
  return kind;
}
