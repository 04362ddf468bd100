import { expect, test } from 'vitest';
import { isTokenUnknown } from '../../src/app/forges/gitlab-setup.ts';
import type { Stored } from '../../src/app/setup/connections.ts';
import { openGitHubStanding, type Standing, watchStanding } from '../../src/app/setup/standing.ts';
import { createGitHub } from '../doubles/github.ts';
import { createGitLab } from '../doubles/gitlab.ts';
import type { Failure } from '../doubles/http/failures.ts';
import { silent } from '../store/open.ts';

test('GitHub knows the App, knows it no more, or it cannot be told', async () => {
  await using github = await createGitHub();
  const { appId, privateKey, webhookSecret, url: apiUrl, serverUrl } = github;
  const config = { appId, privateKey, webhookSecret, clientId: null, clientSecret: null, apiUrl, serverUrl };
  const standing = openGitHubStanding(silent);
  const after = (status: number, message: string): Promise<Standing> => {
    github.fail({ answer: { status, message }, times: 2 });
    return standing(config);
  };
  expect(await standing(config)).toBe('known');
  expect(await after(401, 'A JSON web token could not be decoded')).toBe('unknown');
  await standing(config);
  github.fail({ answer: { status: 401, page: '<html>Sign in</html>', headers: { 'content-type': 'text/html' } }, times: 2 });
  expect(await standing(config)).toBe('unclear');
  await standing(config);
  expect(await after(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")).toBe(
    'unclear',
  );
  expect(await standing({ ...config, apiUrl: 'http://127.0.0.1:9' })).toBe('unclear');
  github.state.app.deleted = true;
  expect(await openGitHubStanding(silent)(config)).toBe('unknown');
});

test('what a forge does not know is believed once it says so at every look for long enough, and only if it is the same', async () => {
  const gitlab = (token: string): Stored => ({
    github: null,
    gitlab: { url: 'https://gitlab.com', token, webhookSecret: 's', signingTokens: [], unsignedSecret: 'u' },
  });
  let stored = gitlab('one');
  let minutes = 0;
  const gone: string[] = [];
  let standing: Standing = 'known';
  const look = watchStanding({
    stored: () => stored,
    ask: { github: async () => 'known', gitlab: async () => standing },
    disconnect: async (kind) => void gone.push(kind),
    patienceMs: 15 * 60_000,
    clock: () => minutes * 60_000,
    log: silent,
  });
  const after = async (passed: number, now: Standing): Promise<void> => {
    minutes += passed;
    standing = now;
    await look();
  };
  await after(0, 'unknown');
  await after(14, 'unknown');
  await after(1, 'known');
  await after(1, 'unknown');
  await after(14, 'unclear');
  await after(1, 'unknown');
  stored = gitlab('two');
  await after(14, 'unknown');
  await after(14, 'unknown');
  expect(gone).toEqual([]);
  await after(1, 'unknown');
  expect(gone).toEqual(['gitlab']);
});

test('GitLab knows the token, knows it no more, or somebody else answers in its place', async () => {
  await using gitlab = await createGitLab();
  const login = { url: gitlab.url, token: gitlab.token };
  const says = (answer: Extract<Failure['answer'], object>): Promise<Standing> => {
    gitlab.fail({ answer, times: 2 });
    return isTokenUnknown(login);
  };
  expect(await isTokenUnknown(login)).toBe('known');
  expect(await says({ status: 401, page: '<html>Sign in</html>', headers: { 'content-type': 'text/html' } })).toBe('unclear');
  expect(await says({ status: 401, message: 'No API key found in request' })).toBe('unclear');
  expect(await says({ status: 404, page: '404 page not found' })).toBe('unclear');
  expect(await says({ status: 401, message: '401 Unauthorized' })).toBe('unknown');
  expect(await isTokenUnknown({ ...login, token: 'glpat-another' })).toBe('unknown');
  gitlab.revokeToken();
  expect(await isTokenUnknown(login)).toBe('unknown');
});
