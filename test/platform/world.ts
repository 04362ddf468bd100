import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Asked, runCommand, type Said } from '../command.ts';
import { openPlatformProject, type PlatformProject } from '../doubles/google/platform/project.ts';
import { type ServedGoogle, serveGoogle } from '../doubles/google/platform/provider.ts';

/** An empty project, a folder for the state, and the command as somebody with credentials runs it. */
export interface PlatformWorld extends AsyncDisposable {
  readonly google: PlatformProject;
  readonly served: ServedGoogle;
  readonly environment: Readonly<Record<string, string>>;
  run(settings: string, ...args: readonly string[]): Promise<Said>;
  /** Interrupted once `when` resolves. */
  runUntil(when: Promise<void>, settings: string, ...args: readonly string[]): Promise<Said>;
}

export const SETTINGS = `
project: acme-previews
regions: [europe-west1]
domain: mayfly.acme.dev
previews: preview.acme.dev
image: europe-west1-docker.pkg.dev/acme-previews/tools/mayfly:0.2.0
database: { protected: false }
`;

/** What `gcloud auth application-default login` leaves behind: it is looked for, and opens nothing. */
const CREDENTIALS = { type: 'authorized_user', client_id: 'x', client_secret: 'x', refresh_token: 'x' };

export async function openPlatformWorld(): Promise<PlatformWorld> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-platform-')), (path) => rm(path, { recursive: true, force: true }));
  const google = openPlatformProject();
  const served = opening.use(await serveGoogle(google));
  await mkdir(join(folder, 'state'));
  await writeFile(join(folder, 'credentials.json'), JSON.stringify(CREDENTIALS));
  const environment = {
    HOME: homedir(),
    PATH: process.env.PATH ?? '',
    PULUMI_HOME: join(folder, 'pulumi'),
    PULUMI_BACKEND_URL: `file://${join(folder, 'state')}`,
    PULUMI_CONFIG_PASSPHRASE: 'correct horse battery staple',
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: 'true',
    PULUMI_DEBUG_PROVIDERS: served.attach,
    GOOGLE_APPLICATION_CREDENTIALS: join(folder, 'credentials.json'),
  };
  const file = join(folder, 'platform.yml');
  const run = async (settings: string, asked: Asked): Promise<Said> => {
    await writeFile(file, settings);
    return runCommand('src/platform.ts', environment, { ...asked, args: [...(asked.args ?? []), '--settings', file] });
  };
  const opened = opening.move();
  return {
    google,
    served,
    environment,
    run: (settings, ...args) => run(settings, { args }),
    runUntil: (interrupted, settings, ...args) => run(settings, { args, interrupted }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
