import { lookup } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { isLoopback } from '../app/setup/addresses.ts';
import type { Config } from '../config.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const ANSWER_MS = 10_000;
const healthy = z.object({ status: z.literal('ok') });
const PROBE = 'mayfly-doctor';

/** Whether people and forges get to this Mayfly by its addresses, as far as can be told from here. */
export async function examineReach(config: Config): Promise<readonly Finding[]> {
  return (await Promise.all([publicAddress(config), previews(config)])).flat();
}

async function publicAddress({ publicUrl }: Config): Promise<readonly Finding[]> {
  const what = 'public address';
  if (isLoopback(publicUrl)) {
    return [warn(what, `${publicUrl.origin} is this machine alone`, 'Set MAYFLY_PUBLIC_URL to an address that the forge can reach.')];
  }
  const answer = await ask(new URL('/healthz', publicUrl));
  const here = `${publicUrl.origin} answers here`;
  if (answer === undefined || !healthy.safeParse(answer.json).success) {
    const found =
      answer === undefined ? `${publicUrl.origin} does not answer` : `${publicUrl.origin} is answered by something else (${answer.status})`;
    return [fail(what, found, 'See to DNS, the proxy before Mayfly, and that it passes /api, /setup and /healthz on.')];
  }
  const isPrivate = await leadsInside(publicUrl.hostname);
  if (isPrivate) return [warn(what, `${here}, at an address of a private network`, 'A forge on the internet cannot reach that.')];
  if (publicUrl.protocol === 'http:') return [warn(what, `${here}, without encryption`, 'Put a proxy with https before it.')];
  return [ok(what, here)];
}

/** Any name under the base has to lead to the gate, which says of ours that there is no such preview. */
async function previews({ previewUrl }: Config): Promise<readonly Finding[]> {
  const what = 'preview addresses';
  const url = new URL(previewUrl);
  url.hostname = `${PROBE}.${previewUrl.hostname}`;
  if (isLoopback(url))
    return [warn(what, `*.${previewUrl.host} is this machine alone`, 'Set MAYFLY_PREVIEW_URL to a name with a wildcard in DNS.')];
  const answer = await ask(url);
  if (answer?.json !== undefined && z.object({ code: z.literal('unknown-host') }).safeParse(answer.json).success)
    return [ok(what, `*.${previewUrl.host} leads to the gate`)];
  const isNamed = answer !== undefined || (await lookup(url.hostname).catch(() => undefined)) !== undefined;
  const silent = isNamed ? `${url.host} does not answer` : `${url.host} is no name in DNS`;
  const found = answer === undefined ? silent : `${url.host} is answered by something else (${answer.status})`;
  return [fail(what, found, `Let *.${previewUrl.hostname} lead to the gate in DNS, and pass the Host header on.`)];
}

async function ask(url: URL): Promise<{ readonly status: number; readonly json: unknown } | undefined> {
  try {
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
      headers: { accept: 'application/json' },
    });
    const text = (await response.text()).slice(0, 10_000);
    return { status: response.status, json: parsed(text) };
  } catch {
    // No such name, refused, late, a certificate that is not believed: it does not answer.
    return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the page of somebody else
  }
}

async function leadsInside(host: string): Promise<boolean> {
  const addresses = await lookup(host.replace(/^\[|\]$/g, ''), { all: true }).catch(() => []);
  return (
    addresses.length > 0 &&
    addresses.every(({ address }) =>
      ['private', 'loopback', 'linkLocal', 'uniqueLocal', 'carrierGradeNat'].includes(ipaddr.parse(address).range()),
    )
  );
}
