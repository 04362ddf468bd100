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
import { type Inputs, kindOf, type PlatformProject, Refused } from './project.ts';

export type ServedGoogle = AsyncDisposable & {
  /** `PULUMI_DEBUG_PROVIDERS`. */
  readonly attach: string;
  /** What was asked that the double does not know, or with inputs that Google's own provider would refuse. */
  readonly unknown: readonly string[];
  /** How the provider was configured. */
  readonly configured: Inputs[];
};

/** The provider `gcp` over one project, for the real engine to attach to. */
export async function serveGoogle(project: PlatformProject): Promise<ServedGoogle> {
  const unknown: string[] = [];
  const configured: Inputs[] = [];
  const server = new Server();
  server.addService(providerGrpc.ResourceProviderService, handlers(project, { unknown, configured }));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return {
    attach: `gcp:${port}`,
    unknown,
    configured,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

type Memory = { readonly unknown: string[]; readonly configured: Inputs[] };
const typeOf = (urn: string): string => urn.split('::')[2]?.split('$').at(-1) ?? '';
const toObject = (struct: structPb.Struct | undefined): Record<string, structPb.JavaScriptValue> => struct?.toJavaScript() ?? {};
const plain = (value: unknown): Record<string, structPb.JavaScriptValue> => JSON.parse(JSON.stringify(value));
const toStruct = (value: unknown): structPb.Struct => structPb.Struct.fromJavaScript(plain(value));

function handlers(project: PlatformProject, { unknown, configured }: Memory): UntypedServiceImplementation {
  const hand = <Request, Response>(deed: (request: Request) => Response) => answering(deed, unknown);
  return {
    handshake: hand(() => new providerPb.ProviderHandshakeResponse()),
    attach: hand(() => new emptyPb.Empty()),
    cancel: hand(() => new emptyPb.Empty()),
    getPluginInfo: hand(() => new pluginPb.PluginInfo().setVersion('9.37.0')),
    checkConfig: hand((request: providerPb.CheckRequest) => new providerPb.CheckResponse().setInputs(request.getNews())),
    diffConfig: hand((request: providerPb.DiffRequest) => {
      const { DIFF_NONE, DIFF_SOME } = providerPb.DiffResponse.DiffChanges;
      const isSame = isDeepStrictEqual(toObject(request.getOldInputs()), toObject(request.getNews()));
      return new providerPb.DiffResponse().setChanges(isSame ? DIFF_NONE : DIFF_SOME);
    }),
    configure: hand((request: providerPb.ConfigureRequest) => {
      configured.push(toObject(request.getArgs()));
      return new providerPb.ConfigureResponse();
    }),
    check: hand((request: providerPb.CheckRequest) => {
      const news = toObject(request.getNews());
      const problems = project.check(typeOf(request.getUrn()), news);
      unknown.push(...problems);
      const failures = problems.map((reason) => new providerPb.CheckFailure().setReason(reason));
      return new providerPb.CheckResponse().setInputs(request.getNews()).setFailuresList(failures);
    }),
    diff: hand(difference),
    create: hand((request: providerPb.CreateRequest) => {
      const inputs = toObject(request.getProperties());
      if (request.getPreview()) return new providerPb.CreateResponse().setProperties(request.getProperties());
      const { id, outputs } = project.create(typeOf(request.getUrn()), inputs);
      return new providerPb.CreateResponse().setId(id).setProperties(toStruct(outputs));
    }),
    update: hand((request: providerPb.UpdateRequest) => {
      const inputs = toObject(request.getNews());
      if (request.getPreview()) return new providerPb.UpdateResponse().setProperties(request.getNews());
      return new providerPb.UpdateResponse().setProperties(
        toStruct(project.update(typeOf(request.getUrn()), request.getId(), inputs).outputs),
      );
    }),
    read: hand((request: providerPb.ReadRequest) => {
      const found = project.read(typeOf(request.getUrn()), request.getId());
      const response = new providerPb.ReadResponse();
      return found ? response.setId(found.id).setProperties(toStruct(found.outputs)).setInputs(toStruct(found.inputs)) : response;
    }),
    delete: hand((request: providerPb.DeleteRequest) => {
      project.remove(typeOf(request.getUrn()), request.getId(), toObject(request.getProperties()));
      return new emptyPb.Empty();
    }),
    invoke: hand((request: providerPb.InvokeRequest) => {
      if (request.getTok() !== 'gcp:organizations/getProject:getProject') throw new Error(`this double knows no ${request.getTok()}`);
      const { projectId } = toObject(request.getArgs());
      if (projectId !== project.project) throw new Refused(`Error 404: project ${String(projectId)} not found`);
      return new providerPb.InvokeResponse().setReturn(toStruct({ id: projectId, projectId, number: project.number }));
    }),
  };
}

function difference(request: providerPb.DiffRequest): providerPb.DiffResponse {
  const { DIFF_NONE, DIFF_SOME } = providerPb.DiffResponse.DiffChanges;
  const before = toObject(request.getOldInputs());
  const after = toObject(request.getNews());
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const changed = names.filter((name) => !isDeepStrictEqual(before[name], after[name]));
  const replacing = changed.filter((name) => kindOf(typeOf(request.getUrn())).replacedBy.includes(name));
  return new providerPb.DiffResponse()
    .setChanges(changed.length > 0 ? DIFF_SOME : DIFF_NONE)
    .setDiffsList(changed)
    .setReplacesList(replacing)
    .setDeletebeforereplace(replacing.length > 0);
}

function answering<Request, Response>(deed: (request: Request) => Response, unknown: string[]) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    try {
      callback(null, deed(call.request));
    } catch (error) {
      const details = error instanceof Error ? error.message : String(error);
      if (!(error instanceof Refused)) unknown.push(details);
      callback({ code: status.UNKNOWN, details });
    }
  };
}
