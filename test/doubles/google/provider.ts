// The Pulumi provider `gcp`, attached to the real engine with `PULUMI_DEBUG_PROVIDERS=gcp:PORT`: what Google's own provider does with the
// engine, and the shared state behind it in place of the APIs.
import { isDeepStrictEqual } from 'node:util';
import {
  Metadata,
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
import statusPb from '@pulumi/pulumi/proto/status_pb.js';
import anyPb from 'google-protobuf/google/protobuf/any_pb.js';
import emptyPb from 'google-protobuf/google/protobuf/empty_pb.js';
import structPb from 'google-protobuf/google/protobuf/struct_pb.js';
import { isObject } from './check.ts';
import type { GoogleCloud } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { InitFailed, type Kind, type Properties, type State, type Waiting } from './kind.ts';

export type ProviderOptions = {
  readonly kinds: Readonly<Record<string, Kind>>;
  /** What a program asks without making anything, by its token. */
  readonly invokes?: Readonly<Record<string, (asked: Properties) => State>>;
  /** How many real milliseconds the provider waits where Google's waits so many seconds. */
  readonly patienceMs?: (seconds: number) => number;
};

export type Call = {
  readonly verb: 'check' | 'diff' | 'create' | 'read' | 'update' | 'delete';
  readonly urn: string;
  readonly type: string;
  /** As the engine sent them: of `create` and `update` what the program says, of the others what the state has. */
  readonly inputs: Properties;
};

export interface GcpProvider extends AsyncDisposable {
  /** For `PULUMI_DEBUG_PROVIDERS`. */
  readonly attach: string;
  /** Everything that the engine asked, in order. */
  readonly calls: readonly Call[];
  /** Milliseconds that somebody waited for Google: of several at once only the time that passed. */
  workMs(): number;
}

/** What of a project the provider itself looks at. */
type Behind = Pick<GoogleCloud, 'project' | 'unknown'>;

/** Where no custom timeout is given. */
const DEFAULT_SECONDS = 20 * 60;

/** Serves the provider to any number of runs of any number of engines. */
export async function openGcpProvider(cloud: Behind, options: ProviderOptions): Promise<GcpProvider> {
  const calls: Call[] = [];
  const stopwatch = openStopwatch();
  const server = new Server();
  const parts: Parts = { cloud, options, calls, stopwatch };
  server.addService(providerGrpc.ResourceProviderService, { ...handshakes(cloud), ...resources(parts), ...invocations(parts) });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return {
    attach: `gcp:${port}`,
    calls,
    workMs: stopwatch.ms,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

/** Time that passes while anything is going on. */
function openStopwatch() {
  let running = 0;
  let since = 0;
  let total = 0;
  return {
    ms: () => total + (running > 0 ? performance.now() - since : 0),
    async time<T>(deed: () => Promise<T>): Promise<T> {
      if (running === 0) since = performance.now();
      running += 1;
      try {
        return await deed();
      } finally {
        running -= 1;
        if (running === 0) total += performance.now() - since;
      }
    },
  };
}

/** What the provider's own configuration may say here: more has to be thought about first. */
const CONFIGURATION: readonly string[] = ['project', 'region', 'version', 'billingProject', 'userProjectOverride'];

function handshakes(cloud: Behind): UntypedServiceImplementation {
  return {
    handshake: answer(() => new providerPb.ProviderHandshakeResponse()),
    attach: answer(() => new emptyPb.Empty()),
    // Google's provider waits for its operations whatever the engine wants.
    cancel: answer(() => new emptyPb.Empty()),
    getPluginInfo: answer(() => new pluginPb.PluginInfo().setVersion('9.37.0')),
    checkConfig: answer((request: providerPb.CheckRequest) => {
      const said = toObject(request.getNews());
      const failures = Object.keys(said)
        .filter((key) => !CONFIGURATION.includes(key))
        .map((key) => new providerPb.CheckFailure().setProperty(key).setReason('is no configuration that this stand-in knows'));
      if (said.project !== undefined && said.project !== cloud.project) {
        failures.push(new providerPb.CheckFailure().setProperty('project').setReason('is another project'));
      }
      return new providerPb.CheckResponse().setInputs(request.getNews()).setFailuresList(failures);
    }),
    diffConfig: answer((request: providerPb.DiffRequest) =>
      changes(differences(toObject(request.getOldInputs()), { inputs: toObject(request.getNews()), state: undefined })),
    ),
    configure: answer(() => new providerPb.ConfigureResponse().setSupportspreview(true)),
  };
}

type Parts = {
  readonly cloud: Behind;
  readonly options: ProviderOptions;
  readonly calls: Call[];
  readonly stopwatch: ReturnType<typeof openStopwatch>;
};

function resources({ cloud, options, calls, stopwatch }: Parts): UntypedServiceImplementation {
  const open = (verb: Call['verb'], urn: string, properties: structPb.Struct | undefined): { kind: Kind; inputs: Properties } => {
    const type = urn.split('::')[2]?.split('$').at(-1) ?? '';
    const inputs = toObject(properties);
    calls.push({ verb, urn, type, inputs });
    const kind = options.kinds[type];
    if (kind) return { kind, inputs };
    cloud.unknown.push(`${verb} of ${type}`);
    throw new Error(`the stand-in of gcp knows no ${type}`);
  };
  const waitingFor = (seconds: number): Waiting => {
    const patience = options.patienceMs ?? ((many) => many * 1000);
    const given = seconds > 0 ? seconds : DEFAULT_SECONDS;
    return { seconds: given, ms: patience(given), pauseMs: patience(1) };
  };
  return {
    check: answer((request: providerPb.CheckRequest) => {
      const { kind, inputs } = open('check', request.getUrn(), request.getNews());
      const failures = kind.check(inputs).map(({ path, reason }) => {
        cloud.unknown.push(`${request.getUrn()}: ${path} ${reason}`);
        return new providerPb.CheckFailure().setProperty(path).setReason(reason);
      });
      return new providerPb.CheckResponse().setInputs(request.getNews()).setFailuresList(failures);
    }),
    diff: answer((request: providerPb.DiffRequest) => {
      const { kind, inputs } = open('diff', request.getUrn(), request.getNews());
      const changed = differences(toObject(request.getOldInputs()), { inputs, state: toObject(request.getOlds()) });
      return changes(changed, changed.filter(kind.isReplacing));
    }),
    create: answer(async (request: providerPb.CreateRequest) => {
      if (request.getPreview()) return new providerPb.CreateResponse().setProperties(request.getProperties());
      const { kind, inputs } = open('create', request.getUrn(), request.getProperties());
      const { id, state } = await stopwatch.time(() => kind.create(inputs, waitingFor(request.getTimeout())));
      return new providerPb.CreateResponse().setId(id).setProperties(toStruct(state));
    }),
    update: answer(async (request: providerPb.UpdateRequest) => {
      if (request.getPreview()) return new providerPb.UpdateResponse().setProperties(request.getNews());
      const { kind, inputs } = open('update', request.getUrn(), request.getNews());
      const waiting = waitingFor(request.getTimeout());
      const state = await stopwatch.time(() => kind.update(request.getId(), inputs, waiting));
      return new providerPb.UpdateResponse().setProperties(toStruct(state));
    }),
    read: answer(async (request: providerPb.ReadRequest) => {
      const { kind, inputs } = open('read', request.getUrn(), request.getProperties());
      const state = await stopwatch.time(() => kind.read(request.getId(), inputs, waitingFor(0)));
      const response = new providerPb.ReadResponse();
      if (state === undefined) return response;
      const before = toObject(request.getInputs());
      const isImport = Object.keys(before).length === 0;
      const said = isImport ? kind.inputsOf?.(state) : project(before, state);
      return response
        .setId(request.getId())
        .setProperties(toStruct(state))
        .setInputs(toStruct(isObject(said) ? said : {}));
    }),
    delete: answer(async (request: providerPb.DeleteRequest) => {
      const { kind, inputs } = open('delete', request.getUrn(), request.getProperties());
      await stopwatch.time(() => kind.remove(request.getId(), inputs, waitingFor(request.getTimeout())));
      return new emptyPb.Empty();
    }),
  };
}

function invocations({ cloud, options }: Parts): UntypedServiceImplementation {
  return {
    invoke: answer((request: providerPb.InvokeRequest) => {
      const invoke = options.invokes?.[request.getTok()];
      if (invoke) return new providerPb.InvokeResponse().setReturn(toStruct(invoke(toObject(request.getArgs()))));
      cloud.unknown.push(`invoke of ${request.getTok()}`);
      throw new Error(`the stand-in of gcp knows no ${request.getTok()}`);
    }),
  };
}

/** Of what Google has, that of which the program once spoke: so a refresh takes drift into the inputs. */
function project(inputs: unknown, state: unknown): unknown {
  if (isObject(inputs) && isObject(state)) {
    return Object.fromEntries(Object.entries(inputs).flatMap(([key, one]) => (key in state ? [[key, project(one, state[key])]] : [])));
  }
  if (Array.isArray(inputs) && Array.isArray(state))
    return state.map((one, index) => (index in inputs ? project(inputs[index], one) : one));
  return state;
}

/** Whether Google has everything that is said; what it has besides is its own. */
function holds(said: unknown, state: unknown): boolean {
  if (isObject(said)) return isObject(state) && Object.entries(said).every(([key, one]) => holds(one, state[key]));
  if (Array.isArray(said)) return Array.isArray(state) && said.length === state.length && said.every((one, at) => holds(one, state[at]));
  return isDeepStrictEqual(said, state);
}

/** Inputs that are not as they were said before, or not as Google has them. */
function differences(before: Properties, { inputs, state }: { inputs: Properties; state: Properties | undefined }): readonly string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(inputs)])].filter(
    (key) => !isDeepStrictEqual(before[key], inputs[key]) || (state !== undefined && !holds(inputs[key], state[key])),
  );
}

function changes(changed: readonly string[], replacing: readonly string[] = []): providerPb.DiffResponse {
  const { DIFF_NONE, DIFF_SOME } = providerPb.DiffResponse.DiffChanges;
  return (
    new providerPb.DiffResponse()
      .setChanges(changed.length > 0 ? DIFF_SOME : DIFF_NONE)
      .setDiffsList([...changed])
      .setReplacesList([...replacing])
      // The new one has the old one's name.
      .setDeletebeforereplace(replacing.length > 0)
  );
}

const toObject = (struct: structPb.Struct | undefined): Properties => struct?.toJavaScript() ?? {};

/** Undefined is what JSON leaves out. */
const toStruct = (state: Readonly<Record<string, unknown>>): structPb.Struct =>
  structPb.Struct.fromJavaScript(JSON.parse(JSON.stringify(state)));

type Served<Request> = ServerUnaryCall<Request, unknown>;

function answer<Request, Response>(handler: (request: Request) => Promise<Response> | Response) {
  return async (call: Served<Request>, callback: sendUnaryData<Response>): Promise<void> => {
    try {
      callback(null, await handler(call.request));
    } catch (error) {
      if (error instanceof InitFailed) callback(initFailed(error));
      else callback({ code: status.UNKNOWN, details: error instanceof GoogleError ? error.message : String(Object(error).message) });
    }
  };
}

/** It is there, but not as it was wanted: the engine records it, and does not leave it so. */
function initFailed({ id, state, message }: InitFailed): { code: status; details: string; metadata: Metadata } {
  const detail = new providerPb.ErrorResourceInitFailed().setId(id).setProperties(toStruct(state)).setReasonsList([message]);
  const any = new anyPb.Any();
  any.pack(detail.serializeBinary(), 'pulumirpc.ErrorResourceInitFailed');
  const whole = new statusPb.Status().setCode(status.UNKNOWN).setMessage(message).setDetailsList([any]);
  const metadata = new Metadata();
  metadata.add('grpc-status-details-bin', Buffer.from(whole.serializeBinary()));
  return { code: status.UNKNOWN, details: message, metadata };
}
