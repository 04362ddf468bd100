import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What every box finds first on its PATH: Mayfly's own Node with npm, pnpm and yarn. */
export type Toolbox = {
  /** Folder of small scripts named `npm`, `npx`, `pnpm`, `yarn`, `node`. */
  readonly bin: string;
  /** Where each tool really is, and where the box has it. */
  readonly binds: readonly { readonly from: string; readonly to: string }[];
  readonly relay: string;
  readonly node: string;
};

/** Yarn 2 and later write this into their lock file; yarn 1 does not. */
const YARN = `#!/bin/sh
folder=$PWD
while :; do
  if [ -f "$folder/yarn.lock" ]; then
    grep -q '^__metadata:' "$folder/yarn.lock" && exec node "@berry@/bin/yarn.js" "$@"
    break
  fi
  [ -f "$folder/.yarnrc.yml" ] && exec node "@berry@/bin/yarn.js" "$@"
  [ "$folder" = / ] && break
  folder=$(dirname "$folder")
done
exec node "@yarn@/bin/yarn.js" "$@"
`;

const folderOf = (found: string, up: number): string => {
  let folder = found;
  for (let step = 0; step < up; step += 1) folder = dirname(folder);
  return folder;
};

/** Writes the scripts into `<dataDir>/tools`. `inside`: the paths that they name are those of a box, not of this machine. */
export async function openToolbox(dataDir: string): Promise<{ readonly boxed: Toolbox; readonly plain: Toolbox }> {
  const { resolve } = createRequire(import.meta.url);
  const real = {
    npm: folderOf(resolve('npm/package.json'), 1),
    // Its exports lead to its package.json and nowhere else.
    pnpm: folderOf(resolve('pnpm'), 1),
    yarn: folderOf(resolve('yarn/package.json'), 1),
    berry: folderOf(resolve('@yarnpkg/cli-dist/package.json'), 1),
  };
  const inside = { npm: '/mayfly/npm', pnpm: '/mayfly/pnpm', yarn: '/mayfly/yarn', berry: '/mayfly/berry' };
  const binds = (['npm', 'pnpm', 'yarn', 'berry'] as const).map((name) => ({ from: real[name], to: inside[name] }));
  const relay = fileURLToPath(new URL('relay.mjs', import.meta.url));
  const tools = join(dataDir, 'tools');
  const boxedBin = await writeScripts(join(tools, 'box'), { ...inside, node: '/mayfly/node' });
  const plainBin = await writeScripts(join(tools, 'plain'), { ...real, node: process.execPath });
  return {
    boxed: {
      bin: boxedBin,
      binds: [
        ...binds,
        { from: process.execPath, to: '/mayfly/node' },
        { from: relay, to: '/mayfly/relay.mjs' },
        { from: boxedBin, to: '/mayfly/bin' },
      ],
      relay: '/mayfly/relay.mjs',
      node: '/mayfly/node',
    },
    plain: { bin: plainBin, binds: [], relay, node: process.execPath },
  };
}

async function writeScripts(folder: string, at: Readonly<Record<'node' | 'npm' | 'pnpm' | 'yarn' | 'berry', string>>): Promise<string> {
  const scripts = {
    node: `#!/bin/sh\nexec "${at.node}" "$@"\n`,
    npm: `#!/bin/sh\nexec node "${at.npm}/bin/npm-cli.js" "$@"\n`,
    npx: `#!/bin/sh\nexec node "${at.npm}/bin/npx-cli.js" "$@"\n`,
    pnpm: `#!/bin/sh\nexec node "${at.pnpm}/bin/pnpm.cjs" "$@"\n`,
    pnpx: `#!/bin/sh\nexec node "${at.pnpm}/bin/pnpx.cjs" "$@"\n`,
    yarn: YARN.replaceAll('@berry@', at.berry).replaceAll('@yarn@', at.yarn),
  };
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await Promise.all(
    Object.entries(scripts).map(async ([name, text]) => {
      const half = join(folder, `.${name}.${process.pid}`);
      await writeFile(half, text);
      await chmod(half, 0o755);
      await rename(half, join(folder, name));
    }),
  );
  return folder;
}
