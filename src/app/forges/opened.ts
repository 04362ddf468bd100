import type { Claim } from '../../site/forge-event.ts';
import type { Deliveries, Facts, Source, Voice } from '../../site/ports.ts';
import type { Gone } from './gone.ts';

/** A forge behind its ports. Every method throws Faults only; anything else is a bug. */
export type OpenedForge = {
  readonly facts: Facts;
  readonly voice: Voice;
  readonly source: Source;
  readonly deliveries: Deliveries;
  /** What a webhook says, as the forge says it when it is asked; undefined when it says nothing of the kind. */
  readonly confirm: (event: Claim) => Promise<Claim | undefined>;
  /** Drops all that is kept in memory of what is out of our reach for good. */
  readonly forget: (gone: Gone) => void;
};
