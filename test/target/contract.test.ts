import { HERE, targetContract } from '../contract/target.ts';
import { hold, openLocalWorld, orderOf, visit } from './local.ts';

targetContract('this machine as a target', async () => {
  const w = await openLocalWorld();
  return {
    ...HERE,
    target: w.target,
    hold,
    artefact: w.artefact,
    seed: w.seed,
    order: orderOf,
    visit: (served, path) => visit(w, served, path),
    [Symbol.asyncDispose]: () => w[Symbol.asyncDispose](),
  };
});
