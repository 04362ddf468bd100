import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { DataDir } from './data-dir.ts';
import type { Stocks } from './expiry/orphans.ts';
import type { IdentityTokens } from './gate/identity-token.ts';
import { type GoogleStandIn, startGcp } from './open-gcp.ts';
import { startLocal } from './open-local.ts';
import type { Stores } from './open-stores.ts';
import type { StagesOptions } from './provision/stages.ts';
import type { Runner } from './site/ports.ts';

/** Sites on whichever target it is: nobody further in knows which. */
export type Running = {
  /** Of the processes on this machine; null where there are none. */
  readonly runner: Runner | null;
  /** What lets the gate in at sites that run elsewhere; null where there are none. */
  readonly identity: IdentityTokens | null;
  /** Null in a process that only has the gate, where that is none of a worker's. */
  readonly work: Work | null;
};

/** What a worker needs of the target, and what may not outlive the sites. */
export type Work = Pick<StagesOptions, 'target' | 'artefacts' | 'leash' | 'openBuilder'> & { readonly stocks: Stocks };

export type TargetOptions = { readonly log: Logger; readonly healthMs?: number; readonly google?: GoogleStandIn };

/** A target that is being opened: what it stands on opens while the stores do. */
export type Starting = { readonly open: (stores: Stores, options: TargetOptions) => Promise<Running> };

type StartingOptions = { readonly dataDir: DataDir; readonly log: Logger };

/** Begins to open the target onto `opening`; what has begun closes with it, even when nobody has waited for it by then. */
export function startTarget(config: Config, options: StartingOptions, opening: AsyncDisposableStack): Starting {
  const { target } = config;
  switch (target) {
    case 'local':
      return startLocal(config, options, opening);
    case 'gcp':
      return startGcp(config, options, opening);
    default:
      return target satisfies never;
  }
}

/** What an operator calls the place of a stock: on Google Cloud each is a region, or what the engine keeps. */
export const whereOf =
  ({ target }: Config) =>
  (stock: string): string =>
    target === 'gcp' ? stock : 'this machine';
