import { z } from 'zod';
import type { Voice } from '../../site/ports.ts';
import { type Caller, NOTHING } from './gitlab-call.ts';

const NAMES = { taken: 'eyes', done: 'thumbsup', refused: 'thumbsdown', confused: 'confused' } as const;
const emojisAnswer = z.array(z.object({ id: z.number(), name: z.string(), user: z.object({ id: z.number() }) }));

export function gitlabReaction(caller: Caller): Pick<Voice, 'react'> {
  return {
    async react({ repository, number }, comment, reaction) {
      const note = Number(comment);
      const name = NAMES[reaction];
      const [us, all] = [
        await caller.us(),
        await caller.read(repository, emojisAnswer, (api, project) => api.emojis.all(project, number, note, { perPage: 100 })),
      ];
      if (all.kind === 'missing') return; // the comment was deleted meanwhile: nobody waits for the answer
      const ours = all.data.filter(({ user, name: given }) => user.id === us && Object.values<string>(NAMES).includes(given));
      if (!ours.some((one) => one.name === name)) {
        // What is there already, since a moment ago, is answered with a 404, and is what was wanted.
        await caller.write(repository, { kind: 'write', as: NOTHING }, (api, project) => api.emojis.award(project, number, note, name));
      }
      for (const { id } of ours.filter((one) => one.name !== name)) {
        await caller.write(repository, { kind: 'write', as: NOTHING }, (api, project) => api.emojis.remove(project, number, note, id));
      }
    },
  };
}
