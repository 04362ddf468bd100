// What Cloud Run refuses that its description does not tell: https://cloud.google.com/run/quotas, …/docs/configuring/*.
import type { Container, Probe, ServiceWish, Template } from './run-types.ts';

/** Names of at most 49 characters: the service's, and what is before and after a tag's `---` is 46 together. */
const LONGEST_NAME = 49;
const LONGEST_TAGGED = 46;

const SYSTEM = /^(?:[a-z0-9.-]+\.)?(?:run\.googleapis\.com|cloud\.googleapis\.com|serving\.knative\.dev|autoscaling\.knative\.dev)\//;

/** Everything that is wrong with a service, each as a sentence. */
export function whatIsWrong(serviceId: string, wish: ServiceWish): readonly string[] {
  return [
    ...wrongName(serviceId, wish),
    ...wrongLabels('labels', wish.labels),
    ...wrongAnnotations('annotations', wish.annotations),
    ...wrongTemplate(wish.template),
  ];
}

function wrongName(serviceId: string, wish: ServiceWish): readonly string[] {
  const wrong: string[] = [];
  if (!/^[a-z](?:[a-z0-9-]*[a-z0-9])?$/.test(serviceId) || serviceId.length > LONGEST_NAME) {
    wrong.push(
      `service_id: must contain only lowercase letters, digits and hyphens, begin with a letter, cannot end with a hyphen, and be less than ${LONGEST_NAME + 1} characters: '${serviceId}'`,
    );
  }
  for (const target of Array.isArray(wish.traffic) ? wish.traffic : []) {
    const tag: unknown = target.tag;
    if (typeof tag === 'string' && tag.length + serviceId.length > LONGEST_TAGGED) {
      wrong.push(`traffic.tag: the tag and the name of the service have more than ${LONGEST_TAGGED} characters together: '${tag}'`);
    }
  }
  return wrong;
}

function wrongLabels(path: string, labels: Readonly<Record<string, string>> = {}): readonly string[] {
  const wrong = Object.keys(labels).length > 64 ? [`${path}: more than 64 labels`] : [];
  for (const [key, value] of Object.entries(labels)) {
    if (SYSTEM.test(key)) wrong.push(`${path}: system label '${key}' is not supported in v2`);
    else if (!/^[a-z][a-z0-9_-]{0,62}$/.test(key)) wrong.push(`${path}: '${key}' is no key of a label`);
    if (!/^[a-z0-9_-]{0,63}$/.test(value)) wrong.push(`${path}.${key}: '${value}' is no value of a label`);
  }
  return wrong;
}

const wrongAnnotations = (path: string, annotations: Readonly<Record<string, string>> = {}): readonly string[] =>
  Object.keys(annotations).flatMap((key) => (SYSTEM.test(key) ? [`${path}: system annotation '${key}' is not supported in v2`] : []));

function wrongTemplate(template: Template): readonly string[] {
  const { scaling: { minInstanceCount = 0, maxInstanceCount = 100 } = {}, timeout = '300s', containers } = template;
  const wrong = [
    ...wrongLabels('template.labels', template.labels),
    ...wrongAnnotations('template.annotations', template.annotations),
    ...wrongNetwork(template),
  ];
  if (minInstanceCount < 0 || maxInstanceCount < 1 || minInstanceCount > maxInstanceCount) {
    wrong.push(`template.scaling: ${minInstanceCount} to ${maxInstanceCount} instances`);
  }
  if (Number.parseFloat(timeout) > 3600 || Number.parseFloat(timeout) < 1) wrong.push(`template.timeout: ${timeout}`);
  if (containers.filter(({ ports = [] }) => ports.length > 0).length > 1 || containers.length === 0) {
    wrong.push('template.containers: exactly one container must listen');
  }
  return [...wrong, ...containers.flatMap((one, index) => wrongContainer(`template.containers[${index}]`, one, template))];
}

type Interface = { readonly network?: string; readonly subnetwork?: string };
function wrongNetwork({ vpcAccess }: Template): readonly string[] {
  if (vpcAccess === undefined) return [];
  const { connector, networkInterfaces = [] }: { connector?: string; networkInterfaces?: readonly Interface[] } = { ...Object(vpcAccess) };
  if (networkInterfaces.length > 1) return ['template.vpcAccess.networkInterfaces: at most one'];
  if ((connector === undefined) === (networkInterfaces.length === 0)) return ['template.vpcAccess: either a connector or an interface'];
  return networkInterfaces.flatMap(({ network, subnetwork }) =>
    network || subnetwork ? [] : ['template.vpcAccess.networkInterfaces: a network or a subnetwork'],
  );
}

const RESERVED: readonly string[] = ['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION'];

function wrongContainer(path: string, container: Container, template: Template): readonly string[] {
  const { env = [], ports = [], startupProbe, livenessProbe } = container;
  const wrong: string[] = [];
  const reserved = env.filter(({ name }) => RESERVED.includes(name)).map(({ name }) => name);
  if (reserved.length > 0) {
    wrong.push(
      `${path}.env: The following reserved env names were provided: ${reserved.join(', ')}. These values are automatically set by the system.`,
    );
  }
  for (const { name, value = '' } of env) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) wrong.push(`${path}.env: '${name}' is no name`);
    if (Buffer.byteLength(value) > 32_768) wrong.push(`${path}.env.${name}: longer than 32 KiB`);
  }
  if (new Set(env.map(({ name }) => name)).size < env.length) wrong.push(`${path}.env: a name stands twice`);
  if (ports.length > 1) wrong.push(`${path}.ports: at most one`);
  for (const { containerPort, name = 'http1' } of ports) {
    if (containerPort < 1 || containerPort > 65_535) wrong.push(`${path}.ports: ${containerPort}`);
    if (!['http1', 'h2c'].includes(name)) wrong.push(`${path}.ports: ${name}`);
  }
  if (!/^[a-z0-9.-]+\/[^\s]+$/.test(container.image)) wrong.push(`${path}.image: '${container.image}'`);
  return [
    ...wrong,
    ...wrongProbe(`${path}.startupProbe`, startupProbe, { longest: 240, whole: 240 }),
    ...wrongProbe(`${path}.livenessProbe`, livenessProbe, { longest: 3600, whole: Number.POSITIVE_INFINITY }),
    ...wrongResources(`${path}.resources`, container, template),
  ];
}

function wrongProbe(path: string, probe: Probe | undefined, { longest, whole }: { longest: number; whole: number }): readonly string[] {
  if (!probe) return [];
  const { initialDelaySeconds = 0, timeoutSeconds = 1, periodSeconds = 10, failureThreshold = 3, httpGet, tcpSocket, ...rest } = probe;
  const wrong: string[] = [];
  if (initialDelaySeconds < 0 || initialDelaySeconds > longest) wrong.push(`${path}.initialDelaySeconds: ${initialDelaySeconds}`);
  if (periodSeconds < 1 || periodSeconds > longest) wrong.push(`${path}.periodSeconds: ${periodSeconds}`);
  if (timeoutSeconds < 1 || timeoutSeconds > periodSeconds)
    wrong.push(`${path}.timeoutSeconds: ${timeoutSeconds}, of a period of ${periodSeconds}`);
  if (failureThreshold < 1 || failureThreshold * periodSeconds > whole) wrong.push(`${path}.failureThreshold: ${failureThreshold}`);
  if ([httpGet, tcpSocket, 'grpc' in rest ? rest.grpc : undefined].filter((one) => one !== undefined).length !== 1) {
    wrong.push(`${path}: exactly one of httpGet, tcpSocket, grpc`);
  }
  if (httpGet?.path !== undefined && !httpGet.path.startsWith('/')) wrong.push(`${path}.httpGet.path: '${httpGet.path}'`);
  return wrong;
}

/** Processors that memory wants, and memory that processors want, in MiB. */
const MOST_MEMORY: readonly (readonly [number, number])[] = [
  [0.5, 512],
  [1, 4096],
  [2, 8192],
  [4, 16_384],
  [6, 24_576],
  [8, 32_768],
];
const LEAST_MEMORY: readonly (readonly [number, number])[] = [
  [4, 2048],
  [6, 4096],
  [8, 4096],
];

function wrongResources(path: string, { resources }: Container, template: Template): readonly string[] {
  const { limits = {}, cpuIdle = true } = resources ?? {};
  const unknown = Object.keys(limits).filter((key) => !['cpu', 'memory', 'nvidia.com/gpu'].includes(key));
  if (unknown.length > 0) return [`${path}.limits: ${unknown.join(', ')}`];
  const cpu = processorsOf(limits.cpu ?? '1');
  const memory = mebibytesOf(limits.memory ?? '512Mi');
  if (cpu === undefined) return [`${path}.limits.cpu: '${limits.cpu}'`];
  if (memory === undefined) return [`${path}.limits.memory: '${limits.memory}'`];
  const isSecond = template.executionEnvironment === 'EXECUTION_ENVIRONMENT_GEN2';
  const least = Math.max(isSecond || !cpuIdle ? 512 : 128, LEAST_MEMORY.find(([many]) => many === cpu)?.[1] ?? 0);
  const most = MOST_MEMORY.find(([many]) => cpu <= many)?.[1] ?? 0;
  const wrong: string[] = [];
  if (memory < least) wrong.push(`${path}.limits.memory: Invalid value specified for container memory. The minimum is ${least}Mi.`);
  if (memory > most) wrong.push(`${path}.limits.memory: For ${cpu} CPU, memory must be at most ${most}Mi.`);
  if (cpu < 1 && (isSecond || template.maxInstanceRequestConcurrency !== 1 || !cpuIdle)) {
    wrong.push(`${path}.limits.cpu: Total cpu < 1 is not supported with gen2, concurrency > 1 or CPU always allocated.`);
  }
  return wrong;
}

function processorsOf(text: string): number | undefined {
  const [, digits, milli] = /^(\d+(?:\.\d+)?)(m?)$/.exec(text) ?? [];
  const many = digits === undefined ? Number.NaN : Number(digits) / (milli ? 1000 : 1);
  return many >= 0.08 && (many <= 1 || [2, 4, 6, 8].includes(many)) ? many : undefined;
}

const UNITS: Readonly<Record<string, number>> = { Ki: 1 / 1024, Mi: 1, Gi: 1024, k: 1e3 / 2 ** 20, M: 1e6 / 2 ** 20, G: 1e9 / 2 ** 20 };
function mebibytesOf(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d+)([A-Za-z]*)$/.exec(text) ?? [];
  const factor = unit === '' ? 2 ** -20 : UNITS[unit];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}
