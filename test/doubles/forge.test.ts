import { toSiteId } from '../../src/site/identity.ts';
import type { FactsWorld } from '../contract/forge-facts.ts';
import { factsContract } from '../contract/forge-facts.ts';
import { type VoiceWorld, voiceContract } from '../contract/forge-voice.ts';
import { github } from '../store/open.ts';
import { createForge, type ForgePull, repositoryOf, toRepositoryId, toSha } from './forge.ts';

// The contract of Source is about git, of which this forge has none.

const ROLES = ['none', 'read', 'write', 'maintain', 'admin'] as const;

function open() {
  const forge = createForge(repositoryOf(github.id, 1));
  let opened = 0;
  const getPull = (number: number): ForgePull => {
    const pull = forge.pulls.get(number);
    if (pull === undefined) throw new Error(`no pull #${number}`);
    return pull;
  };
  return { forge, getPull, nextNumber: () => ++opened };
}

async function openFacts(): Promise<FactsWorld> {
  const { forge, getPull, nextNumber } = open();
  return {
    facts: forge.facts,
    repository: forge.repository,
    async openPull({ from, draft, labels, ...wish }) {
      const head = from === 'a fork' ? toRepositoryId(77) : forge.repository.id;
      return forge.openPull({ number: nextNumber(), author: 'ann', head, draft: draft ?? false, labels: [...(labels ?? [])], ...wish });
    },
    async change(number, to) {
      const pull = getPull(number);
      if (to === 'fork deleted') pull.head = null;
      else pull.state = to === 'reopened' ? 'open' : to;
      pull.closedAt = pull.state === 'open' ? null : new Date();
    },
    async write(files) {
      return forge.write(
        'main',
        Object.fromEntries(Object.entries(files).map(([path, file]) => [path, typeof file === 'string' ? file : null])),
      );
    },
    person: (role) => forge.person(ROLES.indexOf(role) + 100, role),
    async rename() {
      forge.repo.name = 'acme/store';
      return forge.repo.name;
    },
    // Repositories are told apart by their ids alone.
    takeOver: async () => undefined,
    async remove() {
      forge.repo.isOpen = false;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const STATES = { queued: 'queued', inProgress: 'in_progress' } as const;
const stateOf = (state: string): string => (state in STATES ? STATES[state === 'queued' ? 'queued' : 'inProgress'] : state);

async function openVoice(): Promise<VoiceWorld> {
  const { forge, getPull, nextNumber } = open();
  return {
    voice: forge.voice,
    repository: forge.repository,
    openPull: async () => forge.openPull({ number: nextNumber(), author: 'ann', head: forge.repository.id }),
    async push(number) {
      forge.push(getPull(number));
      return getPull(number).sha;
    },
    comments: (number) =>
      [...forge.comments.values()].filter((one) => one.number === number).map(({ id, ...said }) => ({ ...said, id: String(id) })),
    plant: (number, by, body) => String(forge.say(number, by, body).id),
    cutNextAnswer: () => {
      forge.repo.cutsNextAnswer = true;
    },
    checks: (sha) =>
      forge.checks
        .filter(({ check }) => check.sha === sha)
        .map(({ id, site, check }) => ({
          ...{ id: String(id), site, state: stateOf(check.status) },
          ...{ title: check.title, text: check.text, url: check.url ?? '' },
        })),
    deployments: () => forge.deployments.map(({ id, sha, state, url }) => ({ id: String(id), sha, state: stateOf(state), url: url ?? '' })),
    plantDeployment(sha, site) {
      const planted = { id: forge.next(), site: toSiteId(site), number: 1, ours: false, state: 'success', url: null } as const;
      forge.deployments.push({ ...planted, sha: toSha(sha) });
    },
    deleteComment: (id) => void forge.comments.delete(Number(id)),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

factsContract('the double of a forge', openFacts);
voiceContract('the double of a forge', openVoice);
