import { expect, test } from 'vitest';
import type { Stored } from '../../src/app/setup/connections.ts';
import { openGitHubStanding, type Standing, watchStanding } from '../../src/app/setup/standing.ts';
import { createGitHub } from '../doubles/github.ts';
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
  expect(await after(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")).toBe(
    'unclear',
  );
  expect(await standing({ ...config, apiUrl: 'http://127.0.0.1:9' })).toBe('unclear');
  github.state.app.deleted = true;
  expect(await openGitHubStanding(silent)(config)).toBe('unknown');
});

test('what a forge does not know is asked once more before it is believed, and only if it is the same', async () => {
  const gitlab = (token: string): Stored => ({
    github: null,
    gitlab: { url: 'https://gitlab.com', token, webhookSecret: 's', signingTokens: [], unsignedSecret: 'u' },
  });
  let stored = gitlab('one');
  let standing: Standing = 'unknown';
  const gone: string[] = [];
  const look = watchStanding({
    stored: () => stored,
    ask: { github: async () => 'known', gitlab: async () => standing },
    disconnect: async (kind) => void gone.push(kind),
    log: silent,
  });
  await look();
  standing = 'known';
  await look();
  standing = 'unknown';
  await look();
  stored = gitlab('two');
  await look();
  standing = 'unclear';
  await look();
  expect(gone).toEqual([]);
  standing = 'unknown';
  await look();
  expect(gone).toEqual(['gitlab']);
});
