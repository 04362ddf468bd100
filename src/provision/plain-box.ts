import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { closeOutside, descendants, listenOutside, startBox } from './box-process.ts';
import { RELAY_FLAGS, relayDoors } from './bubblewrap.ts';
import { openGroups } from './control-groups.ts';
import { copyFolder } from './copy.ts';
import type { Box, Sandbox } from './sandbox.ts';
import type { Toolbox } from './toolbox.ts';

/**
 * No sandbox: plain children in process groups of their own, for a machine whose owner trusts every author. What runs sees this machine
 * as Mayfly sees it: its files, other sites, its network; it runs as Mayfly's user. Limits hold where control groups do. Doors are the
 * same relay on this machine's own loopback, so two boxes with the same inward port are told apart by their sockets only, not by the
 * port, and one of them fails to listen. Folders are where they are: `to` is not honoured, `$MAYFLY_FOLDER_<n>` names the nth, and
 * paths in `cwd` and `env` that begin with a folder's `to` are rewritten. `fresh` folders are copies.
 */
export async function openPlain(place: { readonly dataDir: string; readonly toolbox: { readonly plain: Toolbox } }): Promise<Sandbox> {
  const groups = await openGroups();
  const { bin, node, relay } = place.toolbox.plain;
  return {
    kind: 'none',
    limitsBy: groups.by,
    open: async (box, log) => {
      const own = join(place.dataDir, 'run', `box-${box.name}`);
      await rm(own, { recursive: true, force: true });
      // Until the box's process has taken all of it over.
      await using opening = new AsyncDisposableStack();
      opening.defer(() => rm(own, { recursive: true, force: true }));
      await mkdir(join(own, 'home'), { recursive: true });
      await mkdir(join(own, 'tmp'), { recursive: true });
      const moved = await realPlaces(box, own);
      const listeners = await listenOutside(box.doors);
      opening.defer(async () => closeOutside(listeners));
      const group = await groups.make(box.name, box.limits);
      opening.defer(() => group.remove());
      const enter = group.doors.map((_, index) => `echo $$ > "$${index + 1}"; `).join('');
      const inner =
        box.doors.length === 0
          ? ['/bin/sh', '-c', moved(box.command)]
          : [node, ...RELAY_FLAGS, relay, relayDoors(box, listeners, (_, socket) => socket), moved(box.command)];
      const script = `${enter}shift ${group.doors.length}; exec "$@"`;
      const env = Object.fromEntries(Object.entries(box.env).map(([name, value]) => [name, moved(value)]));
      const boxed = await startBox(
        {
          command: ['setpriv', '--pdeathsig', 'KILL', '/bin/sh', '-c', script, 'box', ...group.doors, ...inner],
          env: {
            ...env,
            PATH: `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
            HOME: join(own, 'home'),
            TMPDIR: join(own, 'tmp'),
          },
          cwd: moved(box.cwd),
          listeners,
          group,
          inside: async (outer) => [...new Set([...(await descendants(outer)), ...(await group.pids())])].filter((pid) => pid !== outer),
          clean: () => rm(own, { recursive: true, force: true }),
        },
        log,
      );
      opening.move();
      return boxed;
    },
  };
}

/** @returns what turns a path of the box into one of this machine, wherever it stands in a text */
async function realPlaces(box: Box, own: string): Promise<(text: string) => string> {
  const places: (readonly [string, string])[] = [];
  for (const [index, folder] of box.folders.entries()) {
    const real = folder.access === 'fresh' ? join(own, `fresh-${index}`) : folder.from;
    if (folder.access === 'fresh') await copyFolder(folder.from, real);
    places.push([folder.to, real]);
  }
  // Whole paths only: `/work` is neither in `/workspace` nor in `/home/work`.
  const patterns = places.map(
    ([to, real]) => [new RegExp(`(?<![\\w./-])${to.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w.-])`, 'g'), real] as const,
  );
  return (text) => patterns.reduce((done, [pattern, real]) => done.replace(pattern, () => real), text);
}
