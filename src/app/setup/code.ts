import { createHash, randomBytes } from 'node:crypto';
import type { Tickets } from '../../store/connections.ts';
import { isSame } from './visits.ts';

export interface Codes {
  /** Makes a new code, as people type it; those before it are worth nothing any more. */
  issue(): Promise<string>;
  /** Whether it is the code; one that is right is used up. */
  redeem(typed: string): Promise<'right' | 'wrong' | 'too many'>;
}

const KIND = 'code';
/** Without 0, 1, i, l, o and u, which are read as others. */
const LETTERS = '23456789abcdefghjkmnpqrstvwxyz';
/** 28 letters of 30 hold 137 bits. */
const GROUPS = 7;
const GROUP = 4;
/** It holds until it is used or Mayfly starts anew; the row of one that nobody used need not stay for ever. */
const LIFE_MS = 30 * 86_400_000;
/** Nobody guesses 137 bits: this is so that guessing shows. The right code is taken all the same, or anybody could keep its owner out. */
const ATTEMPTS = 10;
const ATTEMPTS_MS = 60_000;

/** The one-time code that opens `/setup` to whoever can read Mayfly's terminal. Only its digest is kept. */
export function openCodes(tickets: Tickets): Codes {
  let wrong: readonly number[] = [];
  return {
    async issue() {
      const code = Array.from({ length: GROUPS }, () => Array.from({ length: GROUP }, letter).join('')).join('-');
      await tickets.drop(KIND);
      await tickets.put({ kind: KIND, digest: digestOf(code), about: '', lifeMs: LIFE_MS });
      return code;
    },
    async redeem(typed) {
      const given = digestOf(typed);
      const known = (await tickets.digests(KIND)).filter((digest) => isSame(digest, given));
      // Of two that come with the same code, the one who takes it is let in.
      if (known.length > 0 && (await tickets.take(KIND, given)) !== undefined) return 'right';
      wrong = wrong.filter((at) => at > Date.now() - ATTEMPTS_MS);
      if (wrong.length >= ATTEMPTS) return 'too many';
      wrong = [...wrong, Date.now()];
      return 'wrong';
    },
  };
}

/** Every letter is as likely as any other: bytes beyond the last whole round are thrown away. */
function letter(): string {
  for (;;) {
    const [byte = 255] = randomBytes(1);
    if (byte < 256 - (256 % LETTERS.length)) return LETTERS[byte % LETTERS.length] ?? '';
  }
}

const digestOf = (code: string): string =>
  createHash('sha256')
    .update(code.toLowerCase().replace(/[^0-9a-z]/g, ''))
    .digest('hex');
