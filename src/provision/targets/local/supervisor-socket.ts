import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { toSiteId } from '../../../site/identity.ts';
import type { ServiceState, Supervisor } from '../../../site/ports.ts';
import { Fault, isProblemCode } from '../../../site/problem.ts';
import { serviceSpec } from './declared.ts';

const state = z.strictObject({
  name: z.string(),
  site: z.string().transform(toSiteId),
  state: z.enum(['asleep', 'starting', 'running', 'crashed']),
  pid: z.number().nullable(),
  restarts: z.number(),
  database: z.string().nullable(),
});
/** The answer to any verb is lines of these; the last is never a `log`. */
const line = z.union([
  z.strictObject({ log: z.string() }),
  z.strictObject({ done: z.array(state) }),
  z.strictObject({ fault: z.string(), details: z.record(z.string(), z.string()) }),
  z.strictObject({ bug: z.string() }),
]);
type Line = z.infer<typeof line>;
const order = z.discriminatedUnion('verb', [
  z.strictObject({ verb: z.literal('start'), spec: serviceSpec }),
  z.strictObject({ verb: z.literal('remove'), name: z.string() }),
  z.strictObject({ verb: z.literal('list') }),
]);
type Order = z.input<typeof order>;

/** Offers the supervisor to the workers of this machine. The socket is ours alone: whoever reaches it starts processes. */
export async function serveSupervisor(supervisor: Supervisor, path: string): Promise<AsyncDisposable> {
  // What a Mayfly that was killed has left behind; the data dir's lock says that it is gone.
  await rm(path, { force: true });
  const server = createServer((asked, answer) => void serve(supervisor, asked, answer));
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(supervisor: Supervisor, asked: IncomingMessage, answer: ServerResponse): Promise<void> {
  const say = (said: Line): void => void answer.write(`${JSON.stringify(said)}\n`);
  const gone = new AbortController();
  answer.on('close', () => gone.abort(new Error('The worker that asked is gone')));
  try {
    const wish = order.parse(JSON.parse(await text(asked)));
    const watch = { signal: gone.signal, log: (log: string) => say({ log }) };
    if (wish.verb === 'start') await supervisor.start(wish.spec, watch);
    if (wish.verb === 'remove') await supervisor.remove(wish.name);
    say({ done: wish.verb === 'list' ? [...(await supervisor.list())] : [] });
  } catch (error) {
    // Told to whoever asked, and thrown again there.
    say(error instanceof Fault ? { fault: error.code, details: { ...error.details } } : { bug: String(error) });
  }
  answer.end();
}

/** The supervisor of this machine, from another process of Mayfly's. Aborting `start` closes the connection, which ends what it began. */
export function connectSupervisor(path: string): Supervisor {
  const ask = async (wish: Order, watch?: Parameters<Supervisor['start']>[1]): Promise<readonly ServiceState[]> => {
    watch?.signal.throwIfAborted();
    const asking = request({ socketPath: path, method: 'POST', path: '/', agent: false, ...(watch && { signal: watch.signal }) });
    const answered = once(asking, 'response');
    asking.end(JSON.stringify(wish));
    try {
      const [answer]: IncomingMessage[] = await answered;
      if (answer) return await readLines(answer, watch?.log);
    } catch (error) {
      watch?.signal.throwIfAborted();
      throw error;
    }
    throw new Error('The supervisor did not answer');
  };
  return {
    start: async (spec, watch) => void (await ask({ verb: 'start', spec: { ...spec } }, watch)),
    remove: async (name) => void (await ask({ verb: 'remove', name })),
    list: () => ask({ verb: 'list' }),
  };
}

async function readLines(answer: IncomingMessage, log?: (chunk: string) => void): Promise<readonly ServiceState[]> {
  for await (const text of createInterface({ input: answer })) {
    const said = line.parse(JSON.parse(text));
    if ('log' in said) log?.(said.log);
    else if ('done' in said) return said.done;
    else if ('fault' in said) throw isProblemCode(said.fault) ? new Fault(said.fault, { details: said.details }) : new Error(said.fault);
    else throw new Error(said.bug);
  }
  throw new Error('The supervisor went away in the middle of its answer');
}
