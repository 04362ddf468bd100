import { setTimeout as delay } from 'node:timers/promises';
import { secretsIn } from '../../../masking/secret-names.ts';
import type { Watch } from '../../../site/ports.ts';
import { Fault, sentence } from '../../../site/problem.ts';
import { regionLabel } from '../../../site/region.ts';
import type { CloudLogs } from './logs.ts';
import type { SiteService, SiteServices, Trouble } from './services.ts';

/** Logs arrive a few seconds late. */
const LOOKS = 6;
const LOOK_MS = 1_000;
const TAIL = 100;
/** Cloud Run's own words; the code is the process's. */
const EXITED = /Container called exit\((-?\d+)\)/g;
/** As long as the start probe asks. */
const LIMIT = '2 minutes';

export type Judging = { readonly services: SiteServices; readonly logs: Pick<CloudLogs, 'appLog'>; readonly watch: Watch };

/**
 * Why the launch's revision does not answer: Fault `start-failed`, `health-timeout`, `image-gone` or `google-refused`, with the end of
 * what the app has said in the log. Undefined when Cloud Run knows of nothing, or not of this revision.
 */
export async function judge({ services, logs, watch }: Judging, service: SiteService): Promise<Fault | undefined> {
  const trouble = await services.trouble(service);
  if (trouble === undefined) return undefined;
  if (trouble.reason !== 'HEALTH_CHECK_CONTAINER_ERROR') return faultOf(trouble, service);
  const said = await untilSaid(logs, service, watch.signal).catch((error: unknown) => {
    watch.signal.throwIfAborted();
    // That the app did not answer is known without it.
    if (!(error instanceof Fault)) throw error;
    watch.log(`${sentence(error.code, error.details)}\n`);
    return '';
  });
  if (said !== '') watch.log(`${said}\n`);
  const exit = [...said.matchAll(EXITED)].at(-1)?.[1];
  if (exit !== undefined) return new Fault('start-failed', { details: { exit: `code ${exit}` } });
  return new Fault('health-timeout', { details: { path: service.health, port: String(service.port), limit: LIMIT, last: '' } });
}

function faultOf({ reason, words }: Trouble, { region }: SiteService): Fault {
  if (reason === 'CONTAINER_MISSING') return new Fault('image-gone', { details: { region: regionLabel(region) } });
  return new Fault('google-refused', {
    details: { action: 'start the site', cause: words.replace(/\.$/, '') },
    cause: new Error(`${reason}: ${words}`),
  });
}

async function untilSaid(logs: Judging['logs'], { name, created, region, env }: SiteService, signal: AbortSignal): Promise<string> {
  const wish = { service: shortName(name), region, revision: shortName(created), lines: TAIL, secrets: secretsIn(env) };
  for (let look = 1; ; look += 1) {
    const said = await logs.appLog(wish);
    if (look === LOOKS || said.match(EXITED) !== null) return said;
    await delay(LOOK_MS, undefined, { signal });
  }
}

/** The last part of a full name. */
export const shortName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
