import { setTimeout as pause } from 'node:timers/promises';
import type { protos } from '@google-cloud/logging';
import { oneAtATime } from '../../one-at-a-time.ts';
import { toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';

type Entry = protos.google.logging.v2.ILogEntry;

/** A line of a log. */
export type Line = {
  readonly id: string;
  readonly at: Date;
  readonly text: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The id of the build that said it. */
  readonly build: string | undefined;
};
export type LogQuestion = {
  readonly filter: string;
  readonly order: 'asc' | 'desc';
  readonly most: number;
  readonly signal?: AbortSignal;
};

/** A project may list entries 60 times a minute, whoever asks: no more than 50 of them are ours. Milliseconds. */
const GAP_MS = 1_200;
/** After Google has said that it was too often; doubled each time. */
const LONGEST_GAP_MS = 60_000;
const CALL = { timeout: 30_000, autoPaginate: false };
const MOST_A_CALL = 1_000;

export type LogReader = {
  /** The entries, at their turn. Waits and asks again while Google says that it is too often. Throws what else Google's client throws. */
  read(question: LogQuestion): Promise<readonly Line[]>;
};

/** Everybody's one way to the project's logs, since the limit is the project's. */
export function openLogReader(google: Google, gapMs = GAP_MS): LogReader {
  const inTurn = oneAtATime();
  let gap = gapMs;
  let asked = Number.NEGATIVE_INFINITY;
  const call = async (question: LogQuestion, pageToken: string): Promise<{ readonly entries: readonly Entry[]; readonly next: string }> => {
    const { filter, order, most, signal } = question;
    const client = await google.logs();
    for (;;) {
      const wait = asked + gap - performance.now();
      await pause(Math.max(wait, 0), undefined, signal ? { signal } : {});
      asked = performance.now();
      try {
        const pageSize = Math.min(most, MOST_A_CALL);
        const request = { resourceNames: [`projects/${google.project}`], filter, orderBy: `timestamp ${order}`, pageSize, pageToken };
        const [entries, , response] = await client.listLogEntries(request, CALL);
        gap = Math.max(gapMs, gap / 2);
        return { entries, next: response?.nextPageToken ?? '' };
      } catch (error) {
        if (toApiFailure(error)?.kind !== 'limited') throw error;
        gap = Math.min(Math.max(gap, 1) * 2, LONGEST_GAP_MS);
      }
    }
  };
  return {
    read: (question) =>
      inTurn(async () => {
        const lines: Line[] = [];
        for (let token = ''; ; ) {
          const { entries, next } = await call(question, token);
          lines.push(...entries.map(toLine));
          // A page may be short and not the last.
          if (next === '' || lines.length >= question.most) return lines.slice(0, question.most);
          token = next;
        }
      }),
  };
}

function toLine({ insertId, timestamp, textPayload, jsonPayload, labels, resource }: Entry): Line {
  const at =
    timestamp && 'seconds' in timestamp ? Number(timestamp.seconds ?? 0) * 1000 + Math.floor(Number(timestamp.nanos ?? 0) / 1e6) : 0;
  return {
    id: insertId ?? '',
    at: new Date(at),
    text: textPayload ?? wordsOf(jsonPayload),
    labels: labels ?? {},
    build: resource?.labels?.build_id,
  };
}

/** A structured line says what it is about in `message`; one that does not is shown as it is. */
function wordsOf(payload: Entry['jsonPayload']): string {
  if (!payload) return '';
  const plain = plainOf({ structValue: payload });
  const message = typeof plain === 'object' && plain !== null && 'message' in plain ? plain.message : undefined;
  return typeof message === 'string' ? message : JSON.stringify(plain);
}

function plainOf(value: protos.google.protobuf.IValue): unknown {
  if (value.structValue) {
    return Object.fromEntries(Object.entries(value.structValue.fields ?? {}).map(([name, one]) => [name, plainOf(one)]));
  }
  if (value.listValue) return (value.listValue.values ?? []).map(plainOf);
  return value.stringValue ?? value.numberValue ?? value.boolValue ?? null;
}
