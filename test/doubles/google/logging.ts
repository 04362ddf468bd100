import { z } from 'zod';
import { type Api, errorBody, pageOf, Refused } from './asked.ts';
import type { GoogleCloud, LogEntry } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { parseFilter } from './filter.ts';
import { logField } from './logging-filter.ts';
import { openRest } from './rest.ts';
import type { Json } from './run-types.ts';

/** `entries.list` a minute and project: https://cloud.google.com/logging/quotas. */
const READS_PER_MINUTE = 60;
const MOST = 1000;
const USUAL = 50;

const Asked = z.strictObject({
  resourceNames: z.array(z.string()).min(1),
  filter: z.string().default(''),
  orderBy: z.enum(['timestamp asc', 'timestamp desc']).default('timestamp asc'),
  pageSize: z.coerce.number().int().optional(),
  pageToken: z.string().optional(),
});

/** Cloud Logging: what builds and services have said, read by filter, within Google's own limit. */
export function openLogging(cloud: GoogleCloud): Api {
  const reads: number[] = [];
  const list = (request: Json): Json => {
    countRead(cloud, reads);
    const asked = Asked.parse(request);
    if (asked.resourceNames.some((name) => name !== `projects/${cloud.project}`))
      throw new GoogleError('PERMISSION_DENIED', 'The caller does not have permission');
    const isWanted = parseFilter(asked.filter, logField);
    const found = [...cloud.logs.list(isWanted)].sort((one, other) =>
      one.timestamp < other.timestamp ? -1 : one.timestamp > other.timestamp ? 1 : 0,
    );
    if (asked.orderBy === 'timestamp desc') found.reverse();
    const { items, next } = pageOf(found, { size: asked.pageSize ?? USUAL, token: asked.pageToken }, MOST);
    return { entries: items.map(entryJson), ...next };
  };
  return openRest({
    cloud,
    library: '@google-cloud/logging-api',
    service: 'google.logging.v2.LoggingServiceV2',
    host: 'logging.googleapis.com',
    denied: (permission) => `Permission '${permission}' denied for all log views`,
    verbs: { ListLogEntries: { permission: 'logging.logEntries.list', answer: list } },
  });
}

function countRead(cloud: GoogleCloud, reads: number[]): void {
  const now = cloud.now().getTime();
  while (reads[0] !== undefined && reads[0] <= now - 60_000) reads.shift();
  if (reads.length >= READS_PER_MINUTE) {
    const limit = `limit 'Read requests per minute' of service 'logging.googleapis.com' for consumer 'project_number:${cloud.projectNumber}'.`;
    const message = `Quota exceeded for quota metric 'Read requests' and ${limit}`;
    const info = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'RATE_LIMIT_EXCEEDED', domain: 'googleapis.com' };
    throw new Refused({ status: 429, body: errorBody('RESOURCE_EXHAUSTED', message, [info]) });
  }
  reads.push(now);
}

const entryJson = (entry: LogEntry): Json => ({ ...entry, receiveTimestamp: entry.timestamp });
