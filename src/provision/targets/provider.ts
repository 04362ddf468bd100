import { randomBytes, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import pluginPb from '@pulumi/pulumi/proto/plugin_pb.js';
import providerGrpc from '@pulumi/pulumi/proto/provider_grpc_pb.js';
import providerPb from '@pulumi/pulumi/proto/provider_pb.js';
import emptyPb from 'google-protobuf/google/protobuf/empty_pb.js';
import structPb from 'google-protobuf/google/protobuf/struct_pb.js';
import { faultPoint } from '../../fault-points.ts';
import { Fault } from '../../site/problem.ts';

export type Properties = Readonly<Record<string, structPb.JavaScriptValue>>;
type Verb = 'up' | 'refresh' | 'destroy';

/** What one type of resource does. Each verb is idempotent: the engine may have died between the deed and its record. */
export interface ResourceKind {
  /** The engine records what is returned; it throws Fault and then has left nothing behind. */
  create(inputs: Properties): Promise<{ readonly id: string; readonly outputs: Properties }>;
  update(inputs: Properties): Promise<Properties>;
  /** Whether it is there. */
  exists(id: string, state: Properties): Promise<boolean>;
  /** Unless given it goes in another way. */
  remove?(id: string, state: Properties): Promise<void>;
}

/** One run of the engine. `guard` is awaited before everything that changes something: it throws once the lease is lost. */
export type Operation = {
  readonly verb: Verb;
  readonly kinds: Readonly<Record<string, ResourceKind>>;
  readonly guard: () => Promise<void>;
};

export interface ServedProvider extends AsyncDisposable {
  readonly port: number;
  /** Goes into the provider's configuration; without it nothing is done. */
  readonly token: string;
  /** The first thing that went wrong, as it was thrown. */
  failure(): unknown;
  /** Milliseconds spent in the resources' own work: what Pulumi itself is not to be blamed for. */
  workMs(): number;
}

type Call<Request> = ServerUnaryCall<Request, unknown>;
type Handler<Request, Response> = (request: Request, call: Call<Request>) => Promise<Response> | Response;

/** A refusal is answered as gRPC has it; the caller is not told more than the code. */
class Refusal extends Error {
  readonly code = status.UNAUTHENTICATED;
}

/**
 * Serves the provider `mayfly` to one run of the engine, on a port of its own. Another process of this machine may connect too: only the
 * connection that was configured with the token may do anything.
 */
export async function serveProvider(operation: Operation): Promise<ServedProvider> {
  const token = randomBytes(24).toString('base64url');
  const trusted = new Set<string>();
  const memory: { failure?: unknown; workMs: number } = { workMs: 0 };
  const work = async <T>(deed: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    try {
      return await deed();
    } catch (error) {
      memory.failure ??= error;
      throw error;
    } finally {
      memory.workMs += performance.now() - started;
    }
  };
  const server = new Server();
  server.addService(providerGrpc.ResourceProviderService, handlers({ operation, token, trusted, work }));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return {
    port,
    token,
    failure: () => memory.failure,
    workMs: () => memory.workMs,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

type Parts = {
  readonly operation: Operation;
  readonly token: string;
  readonly trusted: Set<string>;
  readonly work: <T>(deed: () => Promise<T>) => Promise<T>;
};

function handlers(parts: Parts): UntypedServiceImplementation {
  return { ...handshakeHandlers(parts), ...resourceHandlers(parts) };
}

function handshakeHandlers({ token, trusted }: Parts): UntypedServiceImplementation {
  return {
    handshake: answer(() => new providerPb.ProviderHandshakeResponse()),
    attach: answer(() => new emptyPb.Empty()),
    cancel: answer(() => new emptyPb.Empty()),
    getPluginInfo: answer(() => new pluginPb.PluginInfo().setVersion('1.0.0')),
    checkConfig: answer((request: providerPb.CheckRequest) => new providerPb.CheckResponse().setInputs(request.getNews())),
    // The token is another one each time, which is an update of the provider and never a replacement of what it made.
    diffConfig: answer(() => new providerPb.DiffResponse().setChanges(providerPb.DiffResponse.DiffChanges.DIFF_SOME)),
    configure: answer((request: providerPb.ConfigureRequest, call: Call<providerPb.ConfigureRequest>) => {
      if (isSame(toldToken(request), token)) trusted.add(call.getPeer());
      return new providerPb.ConfigureResponse();
    }),
  };
}

function resourceHandlers({ operation, trusted, work }: Parts): UntypedServiceImplementation {
  const open = <Request extends { getUrn(): string }>(request: Request, call: Call<Request>): ResourceKind => {
    if (!trusted.has(call.getPeer())) throw new Refusal('not this operation');
    const kind = operation.kinds[request.getUrn().split('::')[2]?.split('$').at(-1) ?? ''];
    if (!kind) throw new Error(`The provider has no resource like ${request.getUrn()}`);
    return kind;
  };
  const change = <T>(deed: () => Promise<T>): Promise<T> =>
    work(async () => {
      await operation.guard();
      return deed();
    });
  return {
    check: answer((request: providerPb.CheckRequest) => new providerPb.CheckResponse().setInputs(request.getNews())),
    diff: answer(async (request: providerPb.DiffRequest, call: Call<providerPb.DiffRequest>) => {
      const kind = open(request, call);
      return difference(request, await work(() => kind.exists(request.getId(), toObject(request.getOlds()))));
    }),
    create: answer(async (request: providerPb.CreateRequest, call: Call<providerPb.CreateRequest>) => {
      const kind = open(request, call);
      const { id, outputs } = await change(() => kind.create(toObject(request.getProperties())));
      return new providerPb.CreateResponse().setId(id).setProperties(structPb.Struct.fromJavaScript({ ...outputs }));
    }),
    update: answer(async (request: providerPb.UpdateRequest, call: Call<providerPb.UpdateRequest>) => {
      const kind = open(request, call);
      const outputs = await change(() => kind.update(toObject(request.getNews())));
      return new providerPb.UpdateResponse().setProperties(structPb.Struct.fromJavaScript({ ...outputs }));
    }),
    read: answer(async (request: providerPb.ReadRequest, call: Call<providerPb.ReadRequest>) => {
      const kind = open(request, call);
      const there = await work(() => kind.exists(request.getId(), toObject(request.getProperties())));
      const response = new providerPb.ReadResponse();
      return there ? response.setId(request.getId()).setProperties(request.getProperties()).setInputs(request.getInputs()) : response;
    }),
    delete: answer(async (request: providerPb.DeleteRequest, call: Call<providerPb.DeleteRequest>) => {
      const kind = open(request, call);
      // What an `up` no longer declares may be what visitors still get: `settle` removes it once they get the new one.
      if (operation.verb === 'destroy') {
        await change(async () => kind.remove?.(request.getId(), toObject(request.getProperties())));
        await faultPoint('resource-removed');
      }
      return new emptyPb.Empty();
    }),
  };
}

/** What is gone is made anew; what differs is updated in place. */
function difference(request: providerPb.DiffRequest, exists: boolean): providerPb.DiffResponse {
  const { DIFF_NONE, DIFF_SOME } = providerPb.DiffResponse.DiffChanges;
  const response = new providerPb.DiffResponse();
  if (!exists) return response.setChanges(DIFF_SOME).setReplacesList(['site']).setDiffsList(['site']);
  const before = toObject(request.getOldInputs());
  const after = toObject(request.getNews());
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => !isDeepStrictEqual(before[key], after[key]),
  );
  return response.setChanges(changed.length > 0 ? DIFF_SOME : DIFF_NONE).setDiffsList(changed);
}

const toObject = (struct: structPb.Struct | undefined): Properties => struct?.toJavaScript() ?? {};

/** The engine wraps secrets in configuration even for a provider that takes none. */
function toldToken(request: providerPb.ConfigureRequest): string {
  const told = toObject(request.getArgs()).token;
  const value = typeof told === 'object' && told !== null && 'value' in told ? told.value : told;
  return typeof value === 'string' ? value : '';
}

function isSame(left: string, right: string): boolean {
  return left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));
}

/** Fault and bug alike travel in the operation's memory; the engine is told a word for its own log. */
function answer<Request, Response>(handler: Handler<Request, Response>) {
  return async (call: Call<Request>, callback: sendUnaryData<Response>): Promise<void> => {
    try {
      callback(null, await handler(call.request, call));
    } catch (error) {
      const code = error instanceof Refusal ? error.code : status.FAILED_PRECONDITION;
      callback({ code, details: error instanceof Fault ? error.code : error instanceof Refusal ? error.message : 'unexpected' });
    }
  };
}
