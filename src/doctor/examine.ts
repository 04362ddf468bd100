import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { lookAtForges } from '../live-forges.ts';
import type { Beside } from '../open-beside.ts';
import { openGoogle } from '../provision/targets/gcp/google.ts';
import { type Finding, ok } from './finding.ts';
import { type Connected, examineForges } from './forges.ts';
import { examineGoogle } from './google.ts';
import { examineMachine } from './machine.ts';
import { examineReach } from './reach.ts';
import { examineStores } from './stores.ts';

type Telling = { readonly log: Logger; readonly hide: (secret: string) => void };

/** Looks at everything that Mayfly rests on, and changes nothing. The settings themselves were read by whoever calls. */
export async function examine(config: Config, telling: Telling): Promise<readonly Finding[]> {
  await using opening = new AsyncDisposableStack();
  const { findings, beside } = await examineStores(config, telling.log, opening);
  const connected = await connectedOf(config, beside, telling);
  const runsSites = config.roles.has('gate') || config.roles.has('worker');
  await using google = openGoogle({ project: config.google?.project ?? '' });
  const [machine, reach, forges, cloud] = await Promise.all([
    runsSites ? examineMachine(config) : [],
    examineReach(config),
    examineForges(connected, { config, log: telling.log }),
    examineGoogle(config, { google, endpoint: null }),
  ]);
  return [ok('settings', 'nothing is wrong with them'), ...findings, ...machine, ...reach, ...cloud, ...forges];
}

/** Without the database only what the environment has is known. */
async function connectedOf(config: Config, beside: Beside | undefined, { log, hide }: Telling): Promise<Connected> {
  if (beside === undefined) return config;
  const forges = await lookAtForges({ config, store: beside.store, instance: beside.instance, secretKey: beside.secretKey, hide, log });
  const stored = forges.stored();
  return { github: config.github ?? stored.github, gitlab: config.gitlab ?? stored.gitlab };
}
