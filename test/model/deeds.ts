import fc from 'fast-check';
import type { ForgeEvent } from '../../src/site/forge-event.ts';
import { shortSha } from '../../src/site/identity.ts';
import type { Permission } from '../../src/site/ports.ts';
import { type ForgePull, toRepositoryId } from '../doubles/forge.ts';
import type { World } from './world.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Longer than a lease lives that nobody renews. */
const LEASE_MS = 16 * SECOND;
/** Around the numbers that matter: a lease, the pause between launches, the life of a site. */
const WAITS = [SECOND, 6 * SECOND, LEASE_MS, 10 * MINUTE, 2 * HOUR, 7 * HOUR, 25 * HOUR] as const;

/** Who there is, with what they may do at first. */
export const PEOPLE: readonly { readonly id: number; readonly role: Permission }[] = [
  { id: 901, role: 'write' },
  { id: 902, role: 'maintain' },
  { id: 903, role: 'read' },
  { id: 904, role: 'none' },
];
const WORDS = [
  'deploy',
  'stop',
  'approve',
  'approve SHA',
  'extend 3h',
  'keep',
  'rebuild',
  'sleep',
  'wake',
  'status',
  'region eu-frankfurt',
  'help',
  'dploy',
] as const;
/** Every second pull is a fork's. */
export const PULLS = [1, 2] as const;

/** What the base branch may say. */
const SETTINGS = { auto: '', command: 'previews: command\n', mistaken: 'prewiews: auto\n' } as const;

const index = fc.nat({ max: 7 });
const pull = fc.constantFrom(...PULLS);
const person = fc.constantFrom(...PEOPLE.map(({ id }) => id));

/** What people do on the forge. */
const onForge = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('open'), pull, fork: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('push'), pull, broken: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pushBack'), pull, back: index }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('close'), pull, as: fc.constantFrom('closed', 'merged') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('retarget'), pull }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('draft'), pull }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deleteFork'), pull }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('say'), pull, by: person, words: fc.constantFrom(...WORDS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('setUp'), previews: fc.constantFrom('auto', 'command', 'mistaken') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('access'), isOpen: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('promote'), person, role: fc.constantFrom('none', 'read', 'write', 'maintain') }) },
);

/** What becomes of the news, and of the work. */
const inBetween = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver'), which: index, keep: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('loseMail'), which: index }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('start'), which: index, on: fc.nat({ max: 1 }) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('step'), which: index, pick: index, times: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('finish'), which: index }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('calm') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('loseJob'), which: index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('loseEffects'), lost: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash'), process: fc.nat({ max: 1 }), again: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('freeze'), process: fc.nat({ max: 1 }), frozen: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('takeOver'), which: index, times: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forgeAway'), away: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cutAnswer') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('loseNotices'), lost: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(...WAITS) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('loop'), kind: fc.constantFrom('sweep', 'reconcile') }) },
);
type DeedOf<A> = A extends fc.Arbitrary<infer D> ? D : never;
export type Deed = DeedOf<typeof onForge> | DeedOf<typeof inBetween>;
/** Long enough for something to come about, and to go wrong. */
export const deeds: fc.Arbitrary<Deed[]> = fc.array(fc.oneof({ weight: 2, arbitrary: onForge }, { weight: 3, arbitrary: inBetween }), {
  minLength: 10,
  maxLength: 70,
  size: 'max',
});

type Doing = { readonly [D in Deed['do']]: (world: World, deed: Extract<Deed, { readonly do: D }>) => Promise<void> | void };

const pullChanged = (world: World, pull: ForgePull, action: Extract<ForgeEvent, { type: 'pullChanged' }>['action']): void =>
  world.tell({ type: 'pullChanged', repository: world.repository, number: pull.number, action, sha: pull.sha });
const openPull = (world: World, number: number): ForgePull | undefined => {
  const pull = world.forge.pulls.get(number);
  return pull?.state === 'open' ? pull : undefined;
};
const chosen = <T>(list: readonly T[], which: number): T | undefined => list[which % Math.max(list.length, 1)];
/** The work of a process that stands still does not go on. */
const going = (world: World) => world.active.filter(({ process }) => !process.isFrozen);

const DOING: Doing = {
  open(world, { pull: number, fork }) {
    const pull = world.forge.pulls.get(number);
    if (pull === undefined) {
      const head = fork ? toRepositoryId(500 + number) : world.repository.id;
      pullChanged(world, world.forge.openPull({ number, author: 'user-901', head }), 'opened');
    } else if (pull.state === 'closed') {
      pull.state = 'open';
      world.changed('reopened', pull);
      pullChanged(world, pull, 'reopened');
    }
  },
  push(world, { pull: number, broken }) {
    const pull = openPull(world, number);
    if (pull === undefined || pull.head === null) return;
    world.forge.push(pull);
    if (broken) world.broken.add(pull.sha);
    world.changed('pushed', pull);
    pullChanged(world, pull, 'pushed');
  },
  pushBack(world, { pull: number, back }) {
    const pull = openPull(world, number);
    const sha = pull && chosen(pull.shas, back);
    if (sha === undefined || sha === pull?.sha || pull?.head === null || pull === undefined) return;
    world.forge.push(pull, sha);
    world.changed('pushed', pull);
    pullChanged(world, pull, 'pushed');
  },
  close(world, { pull: number, as }) {
    const pull = openPull(world, number);
    if (pull === undefined) return;
    pull.state = as;
    pull.closedAt = new Date(Math.floor(world.clock.now() / SECOND) * SECOND);
    world.changed('closed', pull);
    pullChanged(world, pull, 'closed');
  },
  retarget(world, { pull: number }) {
    const pull = openPull(world, number);
    if (pull === undefined) return;
    pull.base = pull.base === 'main' ? 'next' : 'main';
    world.changed('retargeted', pull);
    pullChanged(world, pull, 'other');
  },
  draft(world, { pull: number }) {
    const pull = openPull(world, number);
    if (pull === undefined) return;
    pull.draft = !pull.draft;
    world.changed('drafted', pull);
    pullChanged(world, pull, 'other');
  },
  deleteFork(world, { pull: number }) {
    const pull = openPull(world, number);
    if (!pull?.isFork || pull.head === null) return;
    // The forge tells nobody.
    pull.head = null;
    world.changed('fork deleted', pull);
  },
  say(world, { pull: number, by, words }) {
    const pull = world.forge.pulls.get(number);
    const author = world.forge.users.get(by);
    if (pull === undefined || author === undefined) return;
    world.say(pull, author, words.replace('SHA', shortSha(pull.sha)));
  },
  setUp(world, { previews }) {
    world.forge.write('main', { '.mayfly.yml': SETTINGS[previews] });
    world.tell({ type: 'branchPushed', repository: world.repository, branch: 'main', touchesSettings: true });
  },
  access(world, { isOpen }) {
    const { forge, id, access } = world.repository;
    if (isOpen === world.forge.repo.isOpen) return;
    world.forge.repo.isOpen = isOpen;
    world.changed('access');
    if (isOpen) world.tell({ type: 'repositoriesAdded', repositories: [world.repository] });
    else world.tell({ type: 'repositoriesRemoved', forge, access, repositories: [id] });
  },
  promote(world, { person: id, role }) {
    const user = world.forge.users.get(id);
    if (user) user.role = role;
    world.demoted.add(id);
  },
  async deliver(world, { which, keep }) {
    const mail = chosen(world.mail, which);
    if (mail === undefined) return;
    if (!keep) world.mail.splice(world.mail.indexOf(mail), 1);
    await world.deliver(mail);
  },
  loseMail(world, { which }) {
    const mail = chosen(world.mail, which);
    if (mail) world.mail.splice(world.mail.indexOf(mail), 1);
  },
  async start(world, { which, on }) {
    const due = world.pending.filter(({ dueAt }) => dueAt <= world.clock.now());
    const job = chosen(due, which);
    const process = world.processes[on];
    if (job === undefined || process === undefined || process.isFrozen) return;
    world.pending.splice(world.pending.indexOf(job), 1);
    await world.start(job, process);
  },
  async step(world, { which, pick, times }) {
    const it = chosen(going(world), which);
    for (let count = 0; it && count < times && !it.steps.isOver(); count++) await world.advance(it, pick);
  },
  async finish(world, { which }) {
    const it = chosen(going(world), which);
    if (it) await world.finish(it);
  },
  async calm(world) {
    for (const mail of world.mail.splice(0)) await world.deliver(mail);
    await world.drain();
  },
  loseJob(world, { which }) {
    const job = chosen(world.pending, which);
    if (job) world.pending.splice(world.pending.indexOf(job), 1);
  },
  loseEffects(world, { lost }) {
    world.handing.isLost = lost;
  },
  async crash(world, { process, again }) {
    const left = await world.crash(process);
    if (again) world.pending.push(...left);
  },
  freeze(world, { process: which, frozen }) {
    const process = world.processes[which];
    if (process) process.isFrozen = frozen;
  },
  async takeOver(world, { which, times }) {
    const it = chosen(
      going(world).filter(({ job }) => job.kind === 'provision'),
      which,
    );
    const other = world.processes.find((process) => process !== it?.process && !process.isFrozen);
    if (it === undefined || other === undefined) return;
    it.process.isFrozen = true;
    await world.wait(LEASE_MS);
    const taken = await world.start(it.job, other);
    for (let count = 0; count < times && !taken.steps.isOver(); count++) await world.advance(taken, 0);
    it.process.isFrozen = false;
  },
  forgeAway(world, { away }) {
    world.forge.repo.isAway = away;
  },
  cutAnswer(world) {
    world.forge.repo.cutsNextAnswer = true;
  },
  loseNotices(world, { lost }) {
    world.handing.isDeaf = lost;
  },
  wait: (world, { ms }) => world.wait(ms),
  loop(world, { kind }) {
    world.enqueue(kind, kind);
  },
};

export async function doDeed(world: World, deed: Deed): Promise<void> {
  world.trace.push(JSON.stringify(deed));
  // The row of that kind takes a deed of that kind, which the compiler does not see through the union.
  await (DOING[deed.do] as (world: World, deed: Deed) => Promise<void> | void)(world, deed);
}
