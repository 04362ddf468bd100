import type { DeployOrder } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';

const LIMIT_MS = 10 * 60_000;

type Limit = AsyncDisposable & { readonly signal: AbortSignal; readonly build: DeployOrder['build'] };

/**
 * Begins the order's build, beside the engine's start, and has it for whoever asks for it; with a signal for what may not take longer
 * after it. Whatever else has failed by then, a build comes to its end: the next try finds its image.
 */
export function limitAfterBuild({ build }: Pick<DeployOrder, 'build'>, limitMs = LIMIT_MS): Limit {
  const limit = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const end = (): void =>
    limit.abort(new Fault('google-timeout', { details: { action: 'start the site', limit: `${Math.round(limitMs / 1000)} s` } }));
  const made = build().then((artefact) => {
    timer = setTimeout(end, limitMs);
    return artefact;
  });
  // Whoever asks for it hears of its failure.
  const over = made.catch(() => undefined);
  return {
    signal: limit.signal,
    build: () => made,
    async [Symbol.asyncDispose]() {
      await over;
      clearTimeout(timer);
    },
  };
}
