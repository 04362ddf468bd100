import type { GitHub } from './doubles/github.ts';

const MINUTE_MS = 60_000;
const isContent = ({ method, path }: GitHub['requests'][number]): boolean =>
  ['POST', 'PATCH', 'PUT'].includes(method) && /\/(?:comments|reactions)(?:\/|$)/.test(path);

/** The most that an installation wrote for people to read in any sixty seconds. */
export function mostInAMinute(github: GitHub, installation: number): number {
  const times = github.requests.filter((request) => request.installation === installation && isContent(request)).map(({ at }) => at);
  return Math.max(0, ...times.map((start) => times.filter((at) => at >= start && at < start + MINUTE_MS).length));
}
