import { z } from 'zod';
import { isObject, type JsonObject, parseJson } from '../json.ts';
import { APP, INSTALLATION } from './emulator.ts';
import { git, readBranches } from './git.ts';
import { type Call, type Moved, mirrorPush } from './mirror.ts';
import { type Facts, polishEvent } from './polish.ts';

export interface Pushes {
  readonly facts: () => Facts;
  /** A push is on its way; once `served` resolves it is carried over to the emulator. */
  follow(served: Promise<void>): void;
  /** Resolves when the emulator knows of every push. */
  settled(): Promise<void>;
}

type World = {
  /** The bare repository. */
  readonly folder: string;
  readonly call: Call;
  readonly send: (event: string, payload: JsonObject) => void;
  readonly onFailure: (error: unknown) => void;
};

function moves(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): readonly Moved[] {
  const moved = [...after].filter(([branch, sha]) => before.get(branch) !== sha);
  return moved.map(([branch, sha]) => ({ branch, before: before.get(branch), after: sha }));
}

const OpenPulls = z.array(z.object({ number: z.number(), head: z.object({ ref: z.string() }) }));

/** A push to the branch of an open pull: GitHub says `synchronize`, the emulator says nothing. */
async function announce(push: Moved, facts: Facts, { call, folder, send }: World): Promise<void> {
  const open = OpenPulls.parse(await call('GET', 'pulls?state=open'));
  for (const { number } of open.filter((pull) => pull.head.ref === push.branch)) {
    await git(['update-ref', `refs/pull/${number}/head`, push.after], { cwd: folder });
    const [pull, repository] = [await call('GET', `pulls/${number}`), await call('GET', '')];
    const what = { action: 'synchronize', number, before: push.before, after: push.after, pull_request: pull, repository };
    const who = { sender: isObject(pull) ? pull.user : null, installation: { id: INSTALLATION } };
    const payload = parseJson(JSON.stringify({ ...what, ...who }));
    if (isObject(payload)) send('pull_request', polishEvent(payload, facts));
  }
}

/** Carries what git receives over to the emulator, one push after the other. */
export function followPushes(world: World): Pushes {
  let facts: Facts = { app: APP, branches: new Map(), lastHeads: new Map() };
  let line: Promise<void> = Promise.resolve();
  const carryOver = async () => {
    const now = await readBranches(world.folder);
    const pushes = moves(facts.branches, now);
    for (const push of pushes) await mirrorPush(world.folder, push, world.call);
    facts = { ...facts, branches: now };
    for (const push of pushes) await announce(push, facts, world);
  };
  return {
    facts: () => facts,
    follow(served) {
      // A push that can't be carried over must not stop those after it: it is told, and shows as a commit that the API doesn't know.
      line = line.then(() => served.then(carryOver)).catch(world.onFailure);
    },
    settled: () => line,
  };
}
