import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Files } from '../../doubles/git/git.ts';
import type { ForgeName, StagePull } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';

/** The comment without what is another each time: marker, addresses, hashes, times. */
const plain = (comment: string): string =>
  comment
    .replace(/^<!--.*-->\n/, '')
    .replace(/\]\(https?:[^)]*\)/g, '](…)')
    .replace(/\*\*https?:\S+\*\*/g, '**address**')
    .replace(/`[0-9a-f]{7}`/g, '`commit`')
    .replace(/\| [A-Z][a-z]{2} \d+ [A-Z][a-z]{2} [^|]* \|/g, '| end |')
    // What Google Cloud has of its own: buildpacks, and a price.
    .replace(/\| (?:this machine|eu-belgium) \|/g, '| region |')
    .replace('Steps: buildpacks, ', 'Steps: ')
    .replace(/<details><summary>Cost<\/summary>[\s\S]*?<\/details>\n\n/, '')
    // GitLab’s check has no room for a log, and the link says so.
    .replace('[status](…)', '[log](…)')
    .replace(/(Launched in|Failed after) .*?( · |<)/g, '$1 …$2');

const inFolder = (folder: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([path, change]) => [`${folder}/${path}`, change]));
/** Answers with what of its environment a test asks for. */
const ENV_APP: Files = {
  'package.json': JSON.stringify({ name: 'app', private: true, scripts: { start: 'node server.js' } }),
  'server.js': `
    const { createServer } = require('node:http');
    console.log('starting with ' + process.env.API_TOKEN);
    createServer((request, response) => response.end(String(process.env[request.url.slice(1)]))).listen(process.env.PORT);
  `,
};

/** What `.mayfly.yml` says, on either forge. */
export function settings(forge: ForgeName, target: TargetName = 'local'): void {
  describe('settings', () => {
    let w: World;
    let made = 0;
    beforeAll(async () => {
      w = await createWorld({}, { forge, target });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    const repository = (files: Files) => w.forge.createRepository({ name: `settings-${++made}/shop`, files });
    const launchesOf = async (pull: StagePull) => {
      const site = await w.siteOf(pull);
      return site ? w.mayfly.store.launches.of(site.id, 20) : [];
    };

    test('mistakes on the base branch are explained with line and column, nothing is launched, and mended they launch by themselves', async ({
      expect,
    }) => {
      const wrong = 'build: npm run build\nport: "3000"\nstrat: node server.js\nttl: 3 days\n';
      const pull = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': wrong }), { files: nodeApp('mended') });
      await w.reaches(pull, 'failed');
      // The pull does not touch the file: the copy that its branch began with is no word of its own.
      expect(plain(w.comment(pull))).toMatchInlineSnapshot(`
      "### 🔴 Preview failed while reading its settings

      \`.mayfly.yml\` has 3 mistakes on the base branch, so nothing was launched. Once that is corrected, the preview is launched by itself.

      - line 2, column 7: "port" must be a whole number from 1 to 65535, like 3000, not text in quotes
      - line 3, column 1: there is no setting "strat"; did you mean "start"?
      - line 4, column 6: "ttl" must be a length of time: 90s, 15m, 36h, 3d or 2w

      | Commit | Region | Ends |
      |---|---|---|
      | [\`commit\`](…) Change 1 | region | end |

      <sub>Failed after … · [log](…)</sub>

      <details><summary>Commands</summary>

      \`/preview deploy\` · \`/preview rebuild\` · \`/preview logs\` · \`/preview stop\` · \`/preview help\`
      </details>
      "
    `);
      const found = (await w.mayfly.target?.survey()) ?? [];
      expect(found.filter(({ kind }) => kind === 'process' || kind === 'database')).toEqual([]);
      await w.forge.pushToBranch(pull.repository, 'main', { '.mayfly.yml': 'port: 3000\n' });
      await w.reaches(pull, 'ready');
      expect((await w.visit(pull)).body).toBe('mended');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    test('mended while the launch that reads the mistakes is still on its way, or with the webhook lost: launched all the same', async () => {
      const pull = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': 'root: nowhere\n' }), {
        files: { ...nodeApp('x'), '.mayfly.yml': null, 'nowhere.txt': 'so that it is touched' },
        labels: [],
      });
      // Nothing under the root is touched, but the settings are.
      await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('The folder `nowhere`, which `root` in `.mayfly.yml` names, is not in this commit.');
      w.forge.sendWebhooksTo(null);
      await w.forge.pushToBranch(pull.repository, 'main', { '.mayfly.yml': 'root: .\n' });
      w.forge.sendWebhooksTo(w.webhooks());
      await w.mayfly.reconcileNow();
      await w.reaches(pull, 'ready');
    });

    test('a push to the base branch that changes nothing in the settings tries nothing again', async () => {
      const pull = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': 'ttl: 1d\n' }), {
        files: { 'server.js': 'process.exit(3)' },
      });
      await w.reaches(pull, 'failed');
      await w.forge.pushToBranch(pull.repository, 'main', { '.mayfly.yml': '# the same, with a word\nttl: 24h\n' });
      await w.mayfly.reconcileNow();
      expect(await launchesOf(pull)).toHaveLength(1);
    });

    test("of the pull's own file build, start, output, port, health and env count, the rest is listed as ignored", async () => {
      const files = { ...ENV_APP, '.mayfly.yml': 'ttl: 1d\nenv: { WHO: base }\n' };
      const own = 'start: node server.js\nenv: { WHO: pull }\nport: 4321\nhealth: /health\nttl: 2w\nregion: us-iowa\nnonsense: 1\n';
      const pull = await w.forge.openPull(await repository(files), { files: { '.mayfly.yml': own } });
      const site = await w.reaches(pull, 'ready');
      expect((await w.visit(pull, '/WHO')).body).toBe('pull');
      expect((await w.visit(pull, '/PORT')).body).toBe('4321');
      expect(site.terms.ttlMs).toBe(86_400_000);
      expect(plain(w.comment(pull))).toMatchInlineSnapshot(`
      "### 🟢 Preview is ready

      **address**

      | Commit | Region | Ends |
      |---|---|---|
      | [\`commit\`](…) Change 1 | region | end |

      <sub>Launched in … · [log](…)<br>Steps: \`node server.js\`. \`build\`, \`start\` and \`output\` in \`.mayfly.yml\` change them.<br>Ignored in this branch's \`.mayfly.yml\`: \`ttl\`, \`region\`, \`nonsense\`. The base branch decides those.</sub>

      <details><summary>Commands</summary>

      \`/preview extend 2d\` · \`/preview stop\` · \`/preview rebuild\` · \`/preview logs\` · \`/preview help\`
      </details>
      "
    `);
    });

    test("a mistake in the pull's own file is explained, and mended by a push", async () => {
      const pull = await w.forge.openPull(await repository(nodeApp('main')), { files: { '.mayfly.yml': 'port: eighty\n' } });
      await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('`.mayfly.yml` has a mistake in this commit');
      expect(w.comment(pull)).toContain('line 1, column 7');
      const sha = await w.forge.push(pull, { '.mayfly.yml': null });
      await w.reaches(pull, 'ready', sha);
    });

    test('previews: label – a site once the label is there, whatever its case', async () => {
      const files = { ...nodeApp('main'), '.mayfly.yml': 'previews: label\nlabel: Show Me\n' };
      const pull = await w.forge.openPull(await repository(files), { files: nodeApp('labelled') });
      expect(await handled(pull)).toBeUndefined();
      await w.forge.label(pull, 'show me');
      await w.reaches(pull, 'ready');
      // Taking the label away takes no site away: that is what `stop` and closing are for.
      await w.forge.unlabel(pull, 'show me');
      const sha = await w.forge.push(pull, nodeApp('more'));
      await w.reaches(pull, 'ready', sha);
    });

    test('previews: command – a pull alone gets no site and no comment', async () => {
      const pull = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': 'previews: command\n' }), {
        files: { a: 'a' },
      });
      expect(await handled(pull)).toBeUndefined();
      expect(w.forge.ourComments(pull)).toEqual([]);
    });

    test('drafts: false – a draft waits until it is ready for review', async () => {
      const files = { ...nodeApp('main'), '.mayfly.yml': 'drafts: false\n' };
      const pull = await w.forge.openPull(await repository(files), { files: { a: 'a' }, draft: true });
      expect(await handled(pull)).toBeUndefined();
      await w.forge.readyForReview(pull);
      await w.reaches(pull, 'ready');
    });

    test('root and include: what lies beside gives no site, what lies in them is built with its neighbours, and nothing else is there', async () => {
      const server = `
      const { createServer } = require('node:http');
      const { existsSync } = require('node:fs');
      const { name } = require('../../packages/shared/name.js');
      createServer((request, response) => response.end(name + ' ' + existsSync('../../secret.txt'))).listen(process.env.PORT);
    `;
      const files: Files = {
        ...inFolder('apps/web', { ...nodeApp(''), 'server.js': server }),
        'packages/shared/name.js': `exports.name = 'shared';`,
        'secret.txt': 'not built',
        '.mayfly.yml': 'root: apps/web\ninclude: [packages/shared]\n',
      };
      const beside = await w.forge.openPull(await repository(files), { files: { 'docs/a.md': 'words' } });
      expect(await handled(beside)).toBeUndefined();
      const within = await w.forge.openPull(beside.repository, { files: { 'packages/shared/name.js': `exports.name = 'changed';` } });
      await w.reaches(within, 'ready');
      expect((await w.visit(within)).body).toBe('changed false');
    });

    test('a root that is not in the commit is said', async () => {
      const pull = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': 'root: site\n' }), {
        files: { 'site/index.html': 'now it is' },
      });
      await w.reaches(pull, 'ready');
      const sha = await w.forge.push(pull, { 'site/index.html': null });
      await w.reaches(pull, 'failed', sha);
      expect(w.comment(pull)).toContain('The folder `site`');
      expect((await w.visit(pull)).body).toBe('now it is');
    });

    test('a secret in env reaches the app and no log, comment or check (T-C04)', async () => {
      const secret = 'canary-7f3a-not-for-anyone';
      const encoded = Buffer.from(secret).toString('base64');
      const own = `env: { API_TOKEN: ${secret} }\nbuild: "echo it is $API_TOKEN; echo $API_TOKEN | base64; exit 1"\n`;
      const pull = await w.forge.openPull(await repository(ENV_APP), { files: { '.mayfly.yml': own } });
      await w.reaches(pull, 'failed');
      const told = JSON.stringify([w.forge.ourComments(pull), w.checkWords(pull.sha), await launchesOf(pull)]);
      expect(told).toContain('it is ***');
      expect(told).not.toContain(secret);
      expect(told).not.toContain(encoded.slice(0, 20));
      const sha = await w.forge.push(pull, { '.mayfly.yml': `env: { API_TOKEN: ${secret} }\n` });
      await w.reaches(pull, 'ready', sha);
      expect((await w.visit(pull, '/API_TOKEN')).body).toBe(secret);
      expect(JSON.stringify([w.forge.ourComments(pull), w.checkWords(sha), await launchesOf(pull)])).not.toContain(secret);
    });

    test('ttl and region are taken from the base branch: the end is shown, and where it is', async () => {
      // This machine is the only region that there is on it.
      const { wish, shown } = { local: { wish: 'asia-tokyo', shown: 'this machine' }, gcp: { wish: 'europe', shown: 'eu-belgium' } }[
        target
      ];
      const files = { ...nodeApp('main'), '.mayfly.yml': `ttl: 2h\nregion: ${wish}\nidle: 1s\n` };
      const pull = await w.forge.openPull(await repository(files), { files: nodeApp('here') });
      const site = await w.reaches(pull, 'ready');
      expect(site.endsAt.getTime() - site.clockStart.getTime()).toBe(7_200_000);
      expect(w.comment(pull)).toContain('in 2 hours');
      expect(w.comment(pull)).toContain(`| ${shown} |`);
    });

    test('a region that does not exist is a mistake with a suggestion', async () => {
      const pull = await w.forge.openPull(await repository({ ...nodeApp('main'), '.mayfly.yml': 'region: eu-frankfrt\n' }), {
        files: { a: 'a' },
      });
      await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('did you mean eu-frankfurt?');
    });

    /** The pull's site once every delivery about it is dealt with. */
    async function handled(pull: StagePull) {
      await until('every delivery to be handled', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);
      return w.siteOf(pull);
    }
  });
}
