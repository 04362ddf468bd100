import { setTimeout as delay } from 'node:timers/promises';
import type { Pull } from '../test/doubles/github.ts';
import { AT_ONCE, type Pace, type Took } from '../test/doubles/google/pace.ts';
import { type GoogleDouble, openGoogleDouble } from '../test/doubles/google.ts';
import { APPS } from './apps.ts';
import { type BenchMayfly, openMayfly, until } from './mayfly.ts';
import { type Bar, type Measurement, type Row, row } from './measurement.ts';

/**
 * How long Google takes, in milliseconds: no more than is usually told of it, so that our own share does not look small. A call within a
 * region takes 80 to 150; a small app is in Cloud Build for 20 to 90 s, with its queue; a new revision of a small image is ready after 5 to
 * 15 s, a service gone after 3 to 10. Google's Pulumi provider is made of Terraform's, which looks at an operation at once and then every 10 s
 * (`PollInterval` in its `transport/config.go`) and reads a policy that it has set three times, a second apart (its `tpgiamresource/iam.go`).
 */
const USUAL: Pace = { call: 115, upload: 300, build: 20_000, revision: 7_500, removal: 3_000, look: 10_000, reread: 1_000 };

const SETTLES_MS = 3_000;

/** A step of Google's that nobody can do without, after the one before it. */
type Step = { readonly name: string; readonly what: RegExp };
const UPLOAD = { name: 'upload', what: /^POST \/upload\// };
const START = { name: 'build', what: /^POST .*\/builds$/ };
const BUILD = { name: 'build', what: /^build$/ };
const LOOK = { name: 'look for the image', what: /^GET .*\/tags\/tree-/ };
const MAKE = { name: 'service', what: /^service\.create$/ };
const CHANGE = { name: 'service', what: /^service\.update$/ };
const GRANT = { name: 'grant', what: /^invoker\.create$/ };
/** Whether what has the site's name is the site's. */
const LOOK_AT_SERVICE = { name: 'look at the service', what: /^GET .*\/services\/[^/]+$/ };
const REMOVE = { name: 'removal', what: /^DELETE .*\/services\// };
const REMOVAL = { name: 'removal', what: /^removal$/ };

type Deed = { readonly what: string; readonly steps: readonly Step[]; readonly over: () => Promise<void> };
/** `googles`: Google's own share; `parts`: where the rest was spent. Seconds. */
type Told = { readonly seconds: number; readonly googles: number; readonly parts: Readonly<Record<string, number>> };

/** Does it, and looks up in Google's own notes what of it was Google's. */
async function observe(google: GoogleDouble, { steps, over }: Deed): Promise<Told> {
  const { took } = google.cloud.pacer;
  const before = took.length;
  const from = performance.now();
  await over();
  const to = performance.now();
  const path = steps.map(({ name, what }): Took => {
    const one = took.slice(before).find((it) => what.test(it.what));
    if (one === undefined) throw new Error(`Google did nothing like ${what}`);
    return { ...one, what: name };
  });
  const parts: Record<string, number> = {};
  let at = from;
  let googles = 0;
  for (const step of path) {
    // What was asked for is at work before the answer to that has come.
    const begun = Math.max(step.from, at);
    if (begun > at) parts[`until the ${step.what}`] = (begun - at) / 1_000;
    googles += Math.max(step.to - begun, 0) / 1_000;
    at = Math.max(step.to, at);
  }
  parts['after it'] = (to - at) / 1_000;
  return { seconds: (to - from) / 1_000, googles, parts };
}

/** What happens to one pull, in this order. */
async function deedsOn(mayfly: BenchMayfly): Promise<readonly Deed[]> {
  const app = APPS.plain;
  const repo = await mayfly.github.createRepository({ name: 'bench/cloud', files: app.files() });
  const opened: { pull?: Pull } = {};
  const pull = (): Pull => opened.pull ?? never();
  /** Until a visitor gets it. */
  const live = async (word: string): Promise<void> => {
    const { sha } = pull();
    const site = await until('the commit to be live', async () => {
      const now = await mayfly.site(pull());
      if (now?.status === 'failed') throw new Error(`it failed: ${now.reason}`);
      return now?.status === 'ready' && now.sha === sha && now;
    });
    const { body } = await mayfly.visit(site);
    if (!body.includes(app.shows(word))) throw new Error(`the site does not show ${word}`);
  };
  return [
    {
      ...{ what: 'first push', steps: [UPLOAD, START, BUILD, MAKE, GRANT] },
      async over() {
        opened.pull = await mayfly.github.openPull(repo, { files: app.changed('first push') });
        await live('first push');
      },
    },
    {
      ...{ what: 'push with a change', steps: [UPLOAD, START, BUILD, CHANGE] },
      async over() {
        await mayfly.github.push(pull(), app.changed('second push'));
        await live('second push');
      },
    },
    {
      ...{ what: 'push of the same tree', steps: [LOOK, CHANGE] },
      async over() {
        await mayfly.github.push(pull(), {});
        await live('second push');
      },
    },
    {
      ...{ what: 'close until nothing is left', steps: [LOOK_AT_SERVICE, REMOVE, REMOVAL] },
      async over() {
        await mayfly.github.close(pull());
        await until('the end', async () => (await mayfly.site(pull()))?.status === 'ended');
      },
    },
  ];
}

const AROUND: Bar = { text: '≤ 1.15 ×', is: (ours, googles) => ours <= 1.15 * googles };

export const google: Measurement = {
  title: 'Google Cloud: from the push until it is live, beside what of it Google itself takes',
  async run({ scale, say }) {
    await using stack = new AsyncDisposableStack();
    const cloud = stack.use(await openGoogleDouble({ pace: scale === 'whole' ? USUAL : AT_ONCE }));
    const [region = ''] = Object.keys(cloud.platform.regions);
    const settings = {
      ...cloud.env,
      MAYFLY_TARGET: 'gcp',
      GOOGLE_CLOUD_PROJECT: cloud.platform.project,
      MAYFLY_PLATFORM: JSON.stringify(cloud.platform),
      MAYFLY_REGION: region,
      MAYFLY_REGIONS: region,
      MAYFLY_PREVIEW_URL: 'http://preview.acme.test',
    };
    const attached = { endpoint: cloud.endpoint.href, provider: cloud.provider.attach };
    const mayfly = stack.use(await openMayfly(settings, { google: attached }));
    await mayfly.start();
    const rows: Row[] = [];
    for (const deed of await deedsOn(mayfly)) {
      // What it does after its start, and after each launch, is over by then.
      if (scale === 'whole') await delay(SETTLES_MS);
      const { seconds, googles, parts } = await observe(cloud, deed);
      say(`${deed.what}: ${seconds.toFixed(1)} s`);
      const beside = { name: 'Google’s own', sample: [googles] };
      rows.push(row({ what: `Google Cloud, ${deed.what}`, unit: 's', ours: [seconds] }, { beside, parts, bar: AROUND }));
    }
    return rows;
  },
};

function never(): never {
  throw new Error('there is no pull yet');
}
