import type { Usage } from './cost.ts';
import type { Forge, LaunchId, Sha } from './identity.ts';
import type { Details, ProblemCode } from './problem.ts';
import type { Site, Stage } from './site.ts';

/** What the report tells of one launch; a row of the store's is one. */
export type LaunchView = {
  readonly id: LaunchId;
  readonly sha: Sha;
  readonly outcome: 'succeeded' | 'failed' | 'superseded' | 'abandoned' | null;
  readonly reason: { readonly during: Stage; readonly code: ProblemCode; readonly details: Details } | null;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  /** Milliseconds. */
  readonly stages: Partial<Readonly<Record<'queued' | Stage, number>>>;
  readonly notes: {
    readonly detected?: string;
    readonly cache?: 'artefact' | 'dependencies' | 'none';
    readonly ignored?: readonly string[];
    readonly mistakes?: readonly string[];
  };
  /** The log's end, masked. */
  readonly tail: string;
};

/** A site that has one of its repository's places. */
export type PlaceHolder = { readonly number: number; readonly endsAt: Date };

/** Everything that is told about a site. Whoever fills it asked the store; nothing here is asked for. */
export type SiteView = {
  readonly site: Site;
  /** Newest first. */
  readonly launches: readonly LaunchView[];
  /** Name of the repository, e.g. `acme/shop`. */
  readonly repository: string;
  readonly forge: Pick<Forge, 'kind' | 'address'>;
  /** The site's address. */
  readonly url: string | null;
  /** Its place among all that wait for a worker, from 1; null when it does not wait or nobody counted. */
  readonly place: number | null;
  /** The sites that have all the places of its repository, oldest first; null when it does not wait for one. */
  readonly holders: readonly PlaceHolder[] | null;
  /** The page of the newest launch's check. */
  readonly checkUrl: string | null;
  /** The word that commands start with. */
  readonly word: string;
  readonly target: 'local' | 'gcp';
  /** What it was used; null where that costs nothing by itself. */
  readonly usage: Usage | null;
};
