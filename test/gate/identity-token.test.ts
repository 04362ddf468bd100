import { once } from 'node:events';
import { createServer } from 'node:http';
import { GoogleAuth } from 'google-auth-library';
import { expect, test, vi } from 'vitest';
import { fetchIdTokenWith, openIdentityTokens } from '../../src/gate/identity-token.ts';
import { issueToken } from './cloud-run.ts';

const ORIGIN = 'https://mayfly-a-b-uc.a.run.app';
const MINUTE = 60_000;

/** Tokens of an hour from a source that is held back, fails and counts, at a time of our choosing. */
function createSource() {
  const state = { now: 1_800_000_000_000, asked: [] as string[], failure: '', held: Promise.resolve() };
  const said: string[] = [];
  const tokens = openIdentityTokens({
    now: () => state.now,
    log: { warn: (_, message) => said.push(message), error: (_, message) => said.push(message) },
    async fetch(origin) {
      state.asked.push(origin);
      await state.held;
      if (state.failure !== '') throw new Error(state.failure);
      return issueToken(origin, { exp: state.now / 1_000 + 3_600 });
    },
  });
  return { state, said, tokens };
}

test('a token is asked for once, for as many as want it, and kept for its audience', async () => {
  const { state, tokens } = createSource();
  const [one, two] = await Promise.all([tokens.tokenFor(ORIGIN), tokens.tokenFor(ORIGIN)]);
  expect(one).toBe(two);
  state.now += 54 * MINUTE;
  expect(await tokens.tokenFor(ORIGIN)).toBe(one);
  expect(await tokens.tokenFor('https://other.run.app')).not.toBe(one);
  expect(state.asked).toEqual([ORIGIN, 'https://other.run.app']);
});

test('five minutes before its end another is asked for, while the old one serves', async () => {
  const { state, tokens } = createSource();
  const first = await tokens.tokenFor(ORIGIN);
  const { promise, resolve } = Promise.withResolvers<void>();
  state.held = promise;
  state.now += 56 * MINUTE;
  expect(await tokens.tokenFor(ORIGIN)).toBe(first);
  expect(await tokens.tokenFor(ORIGIN)).toBe(first);
  resolve();
  await expect.poll(() => tokens.tokenFor(ORIGIN)).not.toBe(first);
  expect(state.asked.length).toBe(2);
});

test('a failure serves the old token as long as it is good, and is then told with what to do', async () => {
  const { state, said, tokens } = createSource();
  const first = await tokens.tokenFor(ORIGIN);
  state.failure = 'Could not fetch ID token: 404';
  state.now += 56 * MINUTE;
  expect(await tokens.tokenFor(ORIGIN)).toBe(first);
  await expect.poll(() => said.length).toBe(1);
  expect(said[0]).toMatchInlineSnapshot(
    `"No identity token for https://mayfly-a-b-uc.a.run.app: Could not fetch ID token: 404. The gate has to run as its own service account, whose tokens the metadata server gives; elsewhere: gcloud auth application-default login --impersonate-service-account=GATE"`,
  );
  state.now += 4 * MINUTE;
  await expect(tokens.tokenFor(ORIGIN)).rejects.toThrow(
    'No identity token for https://mayfly-a-b-uc.a.run.app: Could not fetch ID token: 404.',
  );
  const asked = state.asked.length;
  await expect(tokens.tokenFor(ORIGIN)).rejects.toThrow('No identity token');
  expect(state.asked.length).toBe(asked);
  state.failure = '';
  state.now += 6_000;
  expect(await tokens.tokenFor(ORIGIN)).not.toBe(first);
});

test('a token that was refused is not used again, and what is no token never', async () => {
  const { state, tokens } = createSource();
  const first = await tokens.tokenFor(ORIGIN);
  state.now += MINUTE;
  tokens.doubt(ORIGIN, first);
  const second = await tokens.tokenFor(ORIGIN);
  expect(second).not.toBe(first);
  tokens.doubt(ORIGIN, first);
  expect(await tokens.tokenFor(ORIGIN)).toBe(second);
  const none = openIdentityTokens({ fetch: async () => 'metadata says hello', log: { warn: () => undefined, error: () => undefined } });
  await expect(none.tokenFor(ORIGIN)).rejects.toThrow('what came is no identity token');
});

test('tokens come from the metadata server of the machine', async () => {
  const answers: Readonly<Record<string, string>> = {
    '/computeMetadata/v1/project/project-id': 'acme-previews',
    [`/computeMetadata/v1/instance/service-accounts/default/identity?format=full&audience=${ORIGIN}`]: issueToken(ORIGIN, { exp: 7 }),
  };
  const unknown: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? ''];
    if (answer === undefined || request.headers['metadata-flavor'] !== 'Google') unknown.push(request.url);
    response.writeHead(answer === undefined ? 404 : 200, { 'Metadata-Flavor': 'Google' }).end(answer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  vi.stubEnv('GCE_METADATA_HOST', `127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`);
  vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
  try {
    expect(await fetchIdTokenWith(new GoogleAuth())(ORIGIN)).toBe(issueToken(ORIGIN, { exp: 7 }));
    expect(unknown).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
    server.close();
  }
});
