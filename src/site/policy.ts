import type { Command } from './command.ts';
import type { Permission } from './ports.ts';

/** One entry of the operator's allow-list; `!` in front means not allowed. */
export type Pattern = { readonly pattern: string; readonly allow: boolean };

/**
 * `acme/*,!acme/secret` as patterns. Entries that are no pattern of a repository's name are returned as `unfit`.
 */
export function parsePatterns(text: string): { readonly patterns: readonly Pattern[]; readonly unfit: readonly string[] } {
  const entries = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const fits = (entry: string): boolean => /^!?[A-Za-z0-9_.*/-]+$/.test(entry);
  return {
    patterns: entries.filter(fits).map((entry) => ({ pattern: entry.replace(/^!/, ''), allow: !entry.startsWith('!') })),
    unfit: entries.filter((entry) => !fits(entry)),
  };
}

/**
 * Whether a repository is on the allow-list. Case does not matter, `*` stands for any characters (slashes too), the last pattern
 * that fits decides. What fits none is not allowed, unless the list starts with an exception: then it starts from everything.
 */
export function isAllowed(patterns: readonly Pattern[], repository: string): boolean {
  let allowed = patterns[0]?.allow === false;
  for (const { pattern, allow } of patterns) if (fitsPattern(pattern.toLowerCase(), repository.toLowerCase())) allowed = allow;
  return allowed;
}

/** Wildcards by two pointers and one point of return: at worst pattern × text steps, where a regular expression may need exponentially many. */
function fitsPattern(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let retry = 0;
  for (let index = 0; index < text.length; ) {
    if (pattern[at] === '*') {
      star = at++;
      retry = index;
    } else if (pattern[at] === text[index]) {
      at++;
      index++;
    } else if (star >= 0) {
      at = star + 1;
      index = ++retry;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

const RANK = { none: 0, read: 1, write: 2, maintain: 3, admin: 4 } as const satisfies Record<Permission, number>;

/** What each command asks of whoever types it. */
export const NEEDED = {
  deploy: 'write',
  rebuild: 'write',
  status: 'read',
  extend: 'write',
  keep: 'maintain',
  stop: 'write',
  sleep: 'write',
  wake: 'write',
  approve: 'write',
  logs: 'write',
  region: 'maintain',
  help: 'read',
  ping: 'read',
} as const satisfies Record<Command['type'], Permission>;

/** The commands that this permission allows. */
export const allowedTo = (permission: Permission): readonly string[] =>
  Object.entries(NEEDED).flatMap(([command, needed]) => (RANK[permission] >= RANK[needed] ? [command] : []));

/** Whether somebody whom the forge gives `permission` now may do this. */
export const mayRun = (command: Command['type'], permission: Permission): boolean => RANK[permission] >= RANK[NEEDED[command]];
