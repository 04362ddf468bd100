import { openGoogleCloud } from '../cloud.ts';
import { problemsIn } from '../inputs.ts';
import type { Properties } from '../kind.ts';
import { runKinds } from '../kinds-run.ts';
import { openProtos } from '../protos.ts';
import { type Spelling, toApi } from '../spelling.ts';

const protos = openProtos('@google-cloud/run');
const WORKER_POOL = protos.message('google.cloud.run.v2.WorkerPool');
const SPELLING: Spelling = {
  protos,
  words: { Container: { envs: { api: 'env' }, commands: { api: 'command' }, dependsOns: { api: 'dependsOn' } } },
};
/** What Google's provider keeps to itself or puts into the address. */
const OWN = ['name', 'location', 'project', 'deletionProtection'];

function kindOfService() {
  const kind = runKinds(openGoogleCloud())['gcp:cloudrunv2/service:Service'];
  if (kind === undefined) throw new Error('nobody knows what a service is');
  return kind;
}
const service = kindOfService();

/** What Google's own description of the API would not take, where there is one here. */
export function problemsDescribed(type: string, inputs: Properties): readonly string[] {
  const problems =
    type === 'gcp:cloudrunv2/service:Service'
      ? service.check(inputs)
      : type === 'gcp:cloudrunv2/workerPool:WorkerPool'
        ? problemsOfPool(inputs)
        : [];
  return problems.map(({ path, reason }) => `${type}.${path} ${reason}`);
}

function problemsOfPool(inputs: Properties) {
  const { json, problems } = toApi(WORKER_POOL, Object.fromEntries(Object.entries(inputs).filter(([key]) => !OWN.includes(key))), SPELLING);
  return [...problems, ...problemsIn(protos, WORKER_POOL, json)];
}
