import { join, normalize } from 'node:path';
import { z } from 'zod';
import type { Dependencies } from '../../../src/provision/dependencies.ts';
import { StepFailed } from './docker-build.ts';
import { inside, type Layers } from './layers.ts';
import type { Workshop } from './workshop.ts';

/** What a step of a build may say. */
export const Step = z.strictObject({
  id: z.string().optional(),
  name: z.string(),
  args: z.array(z.string().max(10_000)).max(100).optional(),
  script: z.string().optional(),
  entrypoint: z.string().optional(),
  dir: z.string().optional(),
  env: z.array(z.string()).optional(),
});
export type Step = z.infer<typeof Step>;

/** The machine of one build: its folders, its builder, who it is. */
export type Machine = {
  readonly workshop: Workshop;
  readonly layers: Layers;
  /** Keys of layers by the name of the cache image that holds them. */
  readonly caches: Map<string, Set<string>>;
  /** What buildpacks have installed before, by the name of the cache image: one for all builds, which may use it at once. */
  readonly installed: (cache: string | null) => Promise<Dependencies>;
  /** `/workspace`, `/builder/home` and `/builder/outputs` are in it. */
  readonly folder: string;
  readonly account: string;
  /** Keys of the layers that the builder itself has. */
  readonly visible: Set<string>;
  /** Set once a builder was made that can write a cache to a registry. */
  readonly driver: { name: 'docker' | 'docker-container' };
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
};

/** Where a build's folders are on this machine, by what they are called in a step. */
export const PLACES = { '/workspace': 'workspace', '/builder/home': 'home', '/builder/outputs': 'outputs' } as const;

/** A path of a step on this machine. @throws StepFailed when it is in none of a build's folders */
export async function placeOf({ folder }: Machine, step: Step, path: string): Promise<string> {
  const whole = path.startsWith('/') ? normalize(path) : join('/workspace', step.dir ?? '', path);
  for (const [place, name] of Object.entries(PLACES)) {
    if (whole === place || whole.startsWith(`${place}/`)) return inside(join(folder, name), whole.slice(place.length));
  }
  throw new StepFailed(`${whole}: no such file or directory`);
}
