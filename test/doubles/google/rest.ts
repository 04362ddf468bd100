import { type Answer, type Api, type Asked, befall, errorAnswer, iamDenied, type Later, Lost, Refused, unknownTo } from './asked.ts';
import { flawsOf, isObject, withEnums } from './check.ts';
import type { GoogleCloud } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { type Binding, type Field, type Method, openProtos, type Protos } from './protos.ts';
import type { Json } from './run-types.ts';

export type Call = {
  /** Whose access token came with it. */
  readonly account: string;
  /** What a test wants its long-running operation to come to. */
  readonly later: Later;
};
export type Verb = {
  /** What it needs, and the name under which tests plan its faults: `run.services.get`. Null: `answer` itself sees to both. */
  readonly permission: string | null;
  /** `request` has the message's own fields, wherever in the HTTP request they were. */
  answer(request: Json, call: Call): Promise<Json> | Json;
};
export type RestOptions = {
  readonly cloud: GoogleCloud;
  /** The client library that brings the description, and the full name of the service in it. */
  readonly library: string;
  readonly service: string;
  /** `artifactregistry.googleapis.com`. */
  readonly host: string;
  readonly verbs: Readonly<Record<string, Verb>>;
  /** How the API says that a permission is missing. */
  readonly denied: (permission: string, resource: string) => string;
};

type Route = { readonly method: Method; readonly binding: Binding; readonly pattern: RegExp; readonly names: readonly string[] };
/** What every method takes: https://cloud.google.com/apis/docs/system-parameters. */
const SYSTEM = new Set(['$alt', 'alt', '$prettyPrint', 'prettyPrint']);

/**
 * An API over REST by its own description: paths, queries and bodies are those of its `google.api.http` annotations, every message is
 * checked. A method without a verb here, an unknown field, a missing one that is required: the test fails.
 */
export function openRest(options: RestOptions): Api {
  const protos = openProtos(options.library);
  const all = protos.methods(options.service).flatMap((method) => method.bindings.map((binding) => routeOf(method, binding)));
  // `…:cancel` before what takes the colon for a part of the name.
  const routes = [...all].sort((one, other) => Number(hasVerb(other)) - Number(hasVerb(one)));
  return (asked, account) => {
    for (const route of routes) {
      const match = route.binding.verb === asked.method ? route.pattern.exec(asked.path) : null;
      if (match) return answer(options, protos, { asked, account, route, match });
    }
    return undefined;
  };
}

/** `/v1/{parent=projects/*\/locations/*}/builds` as a pattern with a group for each variable. */
function routeOf(method: Method, binding: Binding): Route {
  const names: string[] = [];
  const parts = binding.template.split(/(\{[^}]+\})/).map((part) => {
    const [, name, shape = '*'] = /^\{([^=}]+)(?:=(.+))?\}$/.exec(part) ?? [];
    if (name === undefined) return escaped(part);
    names.push(name.split('.').map(camel).join('.'));
    return `(${escaped(shape).replaceAll('\\*\\*', '.+').replaceAll('\\*', '[^/]+')})`;
  });
  return { method, binding, names, pattern: new RegExp(`^${parts.join('')}$`) };
}
const hasVerb = ({ binding }: Route): boolean => /:\w+$/.test(binding.template);
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

type Came = { readonly asked: Asked; readonly account: string; readonly route: Route; readonly match: RegExpExecArray };

async function answer(options: RestOptions, protos: Protos, came: Came): Promise<Answer> {
  const { cloud } = options;
  const { method } = came.route;
  const verb = options.verbs[method.name];
  if (!verb) throw unknownTo(cloud, `${options.service}.${method.name}`);
  const request = checked(options, protos, came);
  const resource = resourceOf(request);
  const region = /^projects\/[^/]+\/locations\/([^/]+)/.exec(resource)?.[1] ?? null;
  try {
    const isOurs = [cloud.project, cloud.projectNumber].includes(resource.split('/')[1] ?? '');
    if (!isOurs || (verb.permission !== null && cloud.faults.isWithheld(verb.permission)))
      throw new GoogleError('PERMISSION_DENIED', options.denied(verb.permission ?? method.name, resource));
    const { lose, later } = verb.permission === null ? { lose: false, later: null } : befall(cloud, verb.permission, region);
    const said = await verb.answer(request, { account: came.account, later });
    if (lose) throw new Lost();
    return { status: 200, body: spoken(protos, method.response, said, came.asked.query) };
  } catch (error) {
    if (!(error instanceof GoogleError)) throw error;
    const denied = /'([\w.]+)' denied/.exec(error.message)?.[1] ?? verb.permission;
    return errorAnswer(error, error.status === 'PERMISSION_DENIED' && denied !== null ? [iamDenied(options.host, denied, resource)] : []);
  }
}

/** What it is about: the first of its names. */
function resourceOf(request: Json): string {
  for (const name of ['name', 'parent', 'resource', 'projectId']) {
    const value = request[name];
    if (typeof value === 'string' && value !== '') return name === 'projectId' ? `projects/${value}` : value;
  }
  for (const value of Object.values(request)) {
    if (isObject(value) && typeof value.name === 'string') return value.name;
    if (Array.isArray(value) && typeof value[0] === 'string' && value[0].startsWith('projects/')) return value[0];
  }
  return '';
}

function checked({ cloud, service }: RestOptions, protos: Protos, { asked, route, match }: Came): Json {
  const { method, binding } = route;
  const message = protos.message(method.request);
  const request: Record<string, unknown> = {};
  route.names.forEach((name, index) => {
    put(request, name, decodeURIComponent(match[index + 1] ?? ''));
  });
  const body = parsed(asked);
  if (binding.body === '*') Object.assign(request, body);
  else if (binding.body !== null) request[camel(binding.body)] = merged(request[camel(binding.body)], body);
  else if (Object.keys(body).length > 0) throw unknownTo(cloud, `${service}.${method.name} with a body`);
  for (const [name, value] of asked.query) {
    if (SYSTEM.has(name)) continue;
    if (binding.body === '*') throw unknownTo(cloud, `${service}.${method.name} with the query ${name}`);
    put(request, name, typed(protos, fieldAt(protos, method.request, name), value, valueAt(request, name)));
  }
  // On REST the parent replaces it (https://cloud.google.com/build/docs/api/reference/rest/v1/projects.locations.builds).
  const byParent = typeof request.parent === 'string' || typeof request.name === 'string';
  const flaws = flawsOf(protos, message, request).filter(({ kind, path }) => !(kind === 'missing' && isIdOfPath(path) && byParent));
  if (flaws.length > 0) throw unknownTo(cloud, `${service}.${method.name}: ${flaws.map(({ text }) => text).join('; ')}`);
  return withEnums(protos, message, request, 'names');
}
/** Cloud Build asks for both in its description, and for one in truth. */
const isIdOfPath = (path: string): boolean => path === 'projectId' || path === 'id';

function parsed(asked: Asked): Json {
  const text = asked.body.toString('utf8');
  // gax sends an empty text where a method has no body.
  if (text === '' || text === '""') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // said below
  }
  throw new Refused(errorAnswer(new GoogleError('INVALID_ARGUMENT', 'Invalid JSON payload received.')));
}
const merged = (own: unknown, body: Json): Json => (isObject(own) ? { ...body, ...own } : body);

function put(request: Record<string, unknown>, path: string, value: unknown): void {
  const [first = '', ...rest] = path.split('.');
  if (rest.length === 0) {
    request[first] = value;
    return;
  }
  const inner = request[first];
  const next: Record<string, unknown> = isObject(inner) ? { ...inner } : {};
  put(next, rest.join('.'), value);
  request[first] = next;
}
const valueAt = (request: Json, path: string): unknown =>
  path.split('.').reduce<unknown>((at, name) => (isObject(at) ? at[name] : undefined), request);

function fieldAt(protos: Protos, message: string, path: string): Field | undefined {
  const [first = '', ...rest] = path.split('.');
  const field = protos.message(message).fields.get(first);
  if (!field || rest.length === 0) return field;
  const type = protos.find(field.type, field.scope);
  return type?.kind === 'message' ? fieldAt(protos, type.name, rest.join('.')) : undefined;
}

/** A value of a query is a text; repeated ones come several times. */
function typed(protos: Protos, field: Field | undefined, value: string, before: unknown): unknown {
  if (!field) return value;
  const one = field.type === 'bool' && /^(true|false)$/.test(value) ? value === 'true' : value;
  const isEnum = protos.find(field.type, field.scope)?.kind === 'enum';
  const number = isEnum && /^\d+$/.test(value) ? Number(value) : one;
  return field.repeated ? [...(Array.isArray(before) ? before : []), number] : number;
}

/** The answer as the client wants it. What the API's description does not have is a mistake of the stand-in's. */
function spoken(protos: Protos, response: string, answer: Json, query: URLSearchParams): Json {
  const said = withoutGaps(answer);
  const type = protos.find(response, '');
  if (type?.kind !== 'message') return said;
  const flaws = flawsOf(protos, type, said).filter(({ kind }) => kind !== 'missing');
  if (flaws.length > 0) throw new Error(`the stand-in answers what ${response} is not: ${flaws.map(({ text }) => text).join('; ')}`);
  const alt = query.get('$alt') ?? query.get('alt') ?? '';
  return alt.includes('enum-encoding=int') ? withEnums(protos, type, said, 'numbers') : said;
}

/** What JSON leaves out. */
const withoutGaps = (value: Json): Json => {
  const plain: unknown = JSON.parse(JSON.stringify(value));
  return isObject(plain) ? plain : {};
};
