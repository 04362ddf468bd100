import type { Logger } from 'pino';
import type { Found } from '../site/ports.ts';

export type FindingKind = Found['kind'] | 'place' | 'site' | 'pull' | 'repository' | 'deployment' | 'delivery';

/** Something that is not as it should be. Finding it changes nothing; its deed does. */
export type Finding = {
  readonly kind: FindingKind;
  readonly name: string;
  /** Where an operator would look for it. */
  readonly where: string;
  readonly why: string;
  readonly deed: Deed;
};

export type Deed = {
  /** Goes on after "would be" and "was". */
  readonly word: string;
  /** Resolves with whether anything had to be done after all; null: nothing is done about it. */
  readonly run: (() => Promise<boolean>) | null;
};

/** For the operator to decide. */
export const LEFT_ALONE: Deed = { word: 'left alone', run: null };
/** Looked at again, and removed once it has been so for long enough: it may be the rows that are wrong. */
export const LEFT_FOR_NOW: Deed = { word: 'left for now', run: null };
/** Whoever had to be asked did not answer, so nothing is known to differ. */
export const NOT_COMPARED: Deed = { word: 'not compared', run: null };

/** `not needed`: by the time of the deed it was as it should be, or somebody else was at it. */
export type Outcome = 'done' | 'not needed' | 'left' | 'failed';
export type Done = { readonly finding: Finding; readonly outcome: Outcome };

/** Does what was planned, one after the other. A deed that fails is logged and does not keep the others from being done. */
export async function carryOut(
  plan: readonly Finding[],
  { signal, log }: { readonly signal?: AbortSignal; readonly log: Logger },
): Promise<readonly Done[]> {
  const done: Done[] = [];
  for (const finding of plan) {
    if (signal?.aborted) break;
    done.push({ finding, outcome: await outcomeOf(finding, log) });
  }
  return done;
}

async function outcomeOf({ kind, name, where, why, deed }: Finding, log: Logger): Promise<Outcome> {
  if (deed.run === null) return 'left';
  try {
    return (await deed.run()) ? 'done' : 'not needed';
  } catch (error) {
    // It is found again at the next look.
    log.warn({ err: error, kind, name, where, why }, `could not be ${deed.word}`);
    return 'failed';
  }
}

/** A deed that several findings share is done once, and each of them comes to the same. */
export function shared(word: string, run: () => Promise<boolean>): Deed {
  let running: Promise<boolean> | undefined;
  return {
    word,
    run: () => {
      running ??= run();
      return running;
    },
  };
}
