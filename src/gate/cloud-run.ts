import type { IncomingMessage } from 'node:http';

/**
 * What Cloud Run says itself, in the app's place. `unknown-token`: ours was not accepted; `not-invoker`: the gate may not call the
 * service; `no-service`: there is none; `busy`: every instance is taken, or none could be started; `crashed`: the instance broke down
 * before it answered; `timed-out`.
 */
export type Verdict = 'unknown-token' | 'not-invoker' | 'no-service' | 'busy' | 'crashed' | 'timed-out' | 'too-large';

/** The largest request that Cloud Run takes over HTTP/1, in bytes. */
export const MAX_REQUEST_BYTES = 32 * 2 ** 20;

/** All that comes with an answer of Google's own; an app that says nothing else is rare. */
const GOOGLES = new Set([
  'alt-svc',
  'cache-control',
  'connection',
  'content-length',
  'content-type',
  'date',
  'keep-alive',
  'referrer-policy',
  'retry-after',
  'server',
  'traceparent',
  'transfer-encoding',
  'via',
  'www-authenticate',
  'x-cloud-trace-context',
]);
/** What is longer is no page of Google's. */
export const MAX_PAGE_BYTES = 4_096;

/** Whether it is worth the while to read this answer in order to see who speaks. */
export function maybeGoogles({ statusCode, headers }: IncomingMessage): boolean {
  if (statusCode === undefined || statusCode < 400) return false;
  if (Number(headers['content-length'] ?? 1) > MAX_PAGE_BYTES) return false;
  return /^text\/(?:html|plain)\b/i.test(headers['content-type'] ?? '') && Object.keys(headers).every((name) => GOOGLES.has(name));
}

/** Undefined when it is the app that speaks, as far as can be told from the words that Google uses. */
export function verdictOf(status: number, body: string): Verdict | undefined {
  return isGooglesPage(status, body) || PLAIN[status]?.test(body.trim()) ? BY_STATUS[status] : undefined;
}

/** Two kinds of pages: of Cloud Run, and of the front end before all of Google's services. */
function isGooglesPage(status: number, body: string): boolean {
  const [, ofRun] = RUN_PAGE.exec(body) ?? [];
  const [, ofFrontEnd] = FRONT_END_PAGE.exec(body) ?? [];
  return (ofRun ?? ofFrontEnd) === String(status);
}

const RUN_PAGE =
  /^\s*<html><head>\s*<meta http-equiv="content-type" content="text\/html;charset=utf-8">\s*<title>(\d{3}) [^<]*<\/title>\s*<\/head>\s*<body text=#000000 bgcolor=#ffffff>\s*<h1>Error: /i;
const FRONT_END_PAGE = /^\s*<!DOCTYPE html>\s*<html lang=en>[\s\S]*?<title>Error (\d{3}) \([^)<]*\)!!1<\/title>/i;

const PLAIN: Readonly<Record<number, RegExp>> = {
  429: /^Rate exceeded\.$/,
  503: /^(?:Service Unavailable|no healthy upstream|upstream connect error or disconnect\/reset before headers\b.*)$/,
  504: /^upstream request timeout$/,
};

const BY_STATUS: Readonly<Record<number, Verdict>> = {
  401: 'unknown-token',
  403: 'not-invoker',
  404: 'no-service',
  413: 'too-large',
  429: 'busy',
  500: 'crashed',
  502: 'crashed',
  503: 'crashed',
  504: 'timed-out',
};
