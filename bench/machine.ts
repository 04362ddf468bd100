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
  readonly pulumi: string;
  readonly mayfly: string;
};

export function describeMachine(): Machine {
  const system = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return {
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: system ?? process.platform,
    kernel: release(),
    node: process.version,
    pulumi: mayfly.dependencies['@pulumi/pulumi'],
    mayfly: mayfly.version,
  };
}
