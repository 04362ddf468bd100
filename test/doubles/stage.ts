import type { Files } from './git/git.ts';
import type { Failure } from './http/failures.ts';

export type ForgeName = 'github' | 'gitlab';
export type StageRepo = { readonly id: number; name: string; nextNumber: number };
export type StagePull = { readonly number: number; readonly repository: StageRepo; sha: string };
export type StageComment = {
  readonly id: number;
  body: string;
  readonly bodies: readonly string[];
  readonly reactions: readonly { readonly content: string }[];
  /** What was ever reacted with, the first first. */
  readonly reacted: readonly string[];
};
export type StageDelivery = {
  readonly id: string;
  readonly guid: string;
  readonly event: string;
  readonly body: string;
  readonly redelivery: boolean;
  readonly statusCode: number;
  at: number;
  /** As sent; GitHub's record shows none. */
  headers?: Readonly<Record<string, string>>;
};
/** `states`: every one that it went through, in the forge's own words. */
export type StageDeployment = {
  readonly id: number;
  readonly environment: string;
  readonly sha: string;
  readonly states: readonly string[];
};
type Role = 'none' | 'read' | 'write' | 'maintain' | 'admin';
type Opening = {
  readonly title?: string;
  readonly message?: string;
  readonly branch?: string;
  readonly files?: Files;
  readonly from?: string;
  readonly draft?: boolean;
  readonly labels?: readonly string[];
};

/**
 * What a scenario does on a forge, whichever it is: both doubles are one of these. Methods, so that each may take its own kind of
 * repository and pull, which is what it gave.
 */
export interface Stage {
  createRepository(wish: { readonly name: string; readonly files?: Files }): Promise<StageRepo>;
  openPull(repo: StageRepo, opening?: Opening): Promise<StagePull>;
  push(pull: StagePull, files: Files, how?: { readonly force?: boolean }): Promise<string>;
  pushToBranch(repo: StageRepo, branch: string, files: Files): Promise<string>;
  close(pull: StagePull): Promise<void>;
  reopen(pull: StagePull): Promise<void>;
  merge(pull: StagePull): Promise<void>;
  draft(pull: StagePull): Promise<void>;
  readyForReview(pull: StagePull): Promise<void>;
  label(pull: StagePull, name: string): Promise<void>;
  unlabel(pull: StagePull, name: string): Promise<void>;
  retarget(pull: StagePull, base: string): Promise<void>;
  rename(repo: StageRepo, name: string): Promise<void>;
  transfer(repo: StageRepo, owner: string): Promise<void>;
  deleteRepository(repo: StageRepo): Promise<void>;
  /** We may nothing there any more; GitHub alone says so. */
  removeRepository(repo: StageRepo): Promise<void>;
  /** We may again; GitHub alone says so. */
  addRepository(repo: StageRepo): Promise<void>;
  comment(pull: StagePull, login: string, body: string): Promise<StageComment>;
  /** One that is there without a webhook. */
  plantComment(pull: StagePull, login: string, body: string): StageComment;
  setPermission(repo: StageRepo, login: string, role: Role): void;
  ourComments(pull: StagePull): readonly StageComment[];
  ourComment(pull: StagePull): StageComment | undefined;
  sendWebhooksTo(url: string | null): void;
  redeliver(delivery: StageDelivery): Promise<StageDelivery>;
  fail(failure: Failure): void;
  readonly deliveries: readonly StageDelivery[];
  readonly fetches: readonly { readonly repository: string }[];
  readonly requests: readonly { readonly method: string; readonly path: string; readonly at: number; readonly status: number }[];
  readonly state: { readonly comments: { delete(id: number): boolean } };
}

/** GitLab's names of emoji, in GitHub's. */
const EMOJI: Readonly<Record<string, string>> = { thumbsup: '+1', thumbsdown: '-1' };
/** What a comment was ever reacted with, in the same words for every forge. */
export const receipts = ({ reacted }: Pick<StageComment, 'reacted'>): readonly string[] => reacted.map((name) => EMOJI[name] ?? name);

/** Whether a delivery tells of a pull itself, and of no comment. */
export const isOfPull = ({ event }: Pick<StageDelivery, 'event'>): boolean => event === 'pull_request' || event === 'Merge Request Hook';
