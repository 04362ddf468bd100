import { hostname } from 'node:os';

/** The host's name as our boxed children see it, and so the mark of every lock that is Mayfly's. */
export const OUR_HOST = 'mayfly-pulumi';

/** What a lock says of who made it. */
export type Lock = { readonly user: string; readonly host: string; readonly pid: number; readonly since: string };

/**
 * The locks that Pulumi names when a stack is locked: no command lists them. The text is that of the one version that we run (`lock.go`
 * of its own backend); one that reads otherwise has no locks that we know of, and is then never broken.
 */
export function locksIn(text: string): readonly Lock[] {
  const found = [...text.matchAll(/: created by (\S+)@(\S+) \(pid (\d+)\) at (\S+)/g)];
  return found.map(([, user = '', host = '', pid = '', since = '']) => ({ user, host, pid: Number(pid), since }));
}

/**
 * Whether a lock was left by a Mayfly that is gone. Whoever holds the stack's lease is alone with it and has ended its predecessor, so
 * one of ours is a dead one's. Without a namespace of their own our children bear this machine's name: then its process must be gone.
 */
export function isLeftByUs({ host, pid }: Lock): boolean {
  return host === OUR_HOST || (host === hostname() && !isAlive(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is alive as well.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

/** For the log: what an operator does about a lock that is none of ours. */
export function lockedText(stack: string, locks: readonly Lock[]): string {
  const who = locks.map(({ user, host, pid, since }) => `${user}@${host} (process ${pid}, since ${since})`).join(', ');
  return `The stack ${stack} is locked by ${who || 'somebody'}, which is no process of Mayfly’s, so the lock stays. Once that Pulumi is over, it is freed by \`pulumi cancel --stack ${stack}\``;
}
