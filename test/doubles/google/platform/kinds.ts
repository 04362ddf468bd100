import type { Inputs, PlatformProject } from './project.ts';

/** What one type of resource is to Google: where it is, what it answers with, and what it will not have. */
export type Kind = {
  id(inputs: Inputs, project: PlatformProject): string;
  outputs?(inputs: Inputs, id: string, project: PlatformProject): Inputs;
  /** A change of one of these makes it anew. */
  readonly replacedBy: readonly string[];
  /** Ids of what has to be there. */
  needs?(inputs: Inputs, project: PlatformProject): readonly string[];
  /** The API that answers for it. */
  readonly api: string;
  /** What else Google refuses. */
  refuses?(inputs: Inputs, project: PlatformProject): string | undefined;
  /** Why it cannot go now. */
  stays?(inputs: Inputs, id: string, project: PlatformProject): string | undefined;
  /** `never`: Google remembers the name for ever, or for a week. */
  readonly nameIsFree?: 'again' | 'never';
};

const text = (inputs: Inputs, name: string): string => {
  const value = inputs[name];
  if (typeof value !== 'string') throw new Error(`${name} is no text`);
  return value;
};
const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []);
const within = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined), value);
const named = (prefix: string) => (inputs: Inputs) => `projects/${text(inputs, 'project')}/${prefix}/${text(inputs, 'name')}`;
const regional = (region: string, kind: string) => (inputs: Inputs) =>
  `projects/${text(inputs, 'project')}/${region === 'region' ? 'regions' : 'locations'}/${text(inputs, region)}/${kind}/${text(inputs, 'name')}`;
const matching = (pattern: RegExp, name: string) => (inputs: Inputs) =>
  pattern.test(text(inputs, name)) ? undefined : `Error 400: Invalid ${name}`;

/** `on`: the field that says on what. Only a member that is there may be granted anything. */
function membership(api: string, on: string): Kind {
  return {
    api,
    id: (inputs) => `${text(inputs, on)}/${text(inputs, 'role')}/${text(inputs, 'member')}`,
    replacedBy: [on, 'role', 'member', 'condition', 'location'],
    outputs: () => ({ etag: 'BwY' }),
    refuses: (inputs, { identities }) => {
      const member = text(inputs, 'member');
      return identities().includes(member) ? undefined : `Error 400: ${member} does not exist.`;
    },
  };
}

const COMPUTE_NAME = /^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

const compute: Readonly<Record<string, Kind>> = {
  'gcp:compute/network:Network': {
    api: 'compute',
    id: named('global/networks'),
    replacedBy: ['name', 'autoCreateSubnetworks'],
    outputs: (_, id) => ({ selfLink: `https://www.googleapis.com/compute/v1/${id}` }),
    refuses: matching(COMPUTE_NAME, 'name'),
    stays: (_, id, { all }) => {
      const user = all().find(({ type, inputs }) => type === 'gcp:compute/subnetwork:Subnetwork' && inputs.network === id);
      return user === undefined
        ? undefined
        : `The network resource '${id}' is already being used by '${user.id}', resourceInUseByAnotherResource`;
    },
  },
  'gcp:compute/subnetwork:Subnetwork': {
    api: 'compute',
    id: regional('region', 'subnetworks'),
    replacedBy: ['name', 'network', 'region', 'ipCidrRange'],
    needs: (inputs) => [text(inputs, 'network')],
    outputs: () => ({ gatewayAddress: '10.0.0.1' }),
    refuses: matching(COMPUTE_NAME, 'name'),
    stays: (_, id, { all, servesFrom }) => {
      const user = all().find(
        ({ type, inputs }) => /:cloudrunv2\//.test(type.replace('gcp:', ':')) && JSON.stringify(inputs).includes(`"${id}"`),
      );
      if (user === undefined && !servesFrom.has(id)) return undefined;
      const by = user?.id ?? 'addresses/serverless-ipv4-1700000000000000001';
      return `Error 400: The subnetwork resource '${id}' is already being used by '${by}', resourceInUseByAnotherResource`;
    },
  },
  'gcp:compute/globalAddress:GlobalAddress': {
    api: 'compute',
    id: named('global/addresses'),
    replacedBy: ['name', 'address', 'prefixLength', 'purpose', 'addressType', 'network'],
    needs: (inputs) => texts([inputs.network]),
    outputs: (inputs) => ({ address: inputs.address ?? '203.0.113.7' }),
    refuses: matching(COMPUTE_NAME, 'name'),
  },
  'gcp:compute/firewall:Firewall': {
    api: 'compute',
    id: named('global/firewalls'),
    replacedBy: ['name', 'network', 'direction'],
    needs: (inputs) => [text(inputs, 'network')],
    refuses: matching(COMPUTE_NAME, 'name'),
  },
  'gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup': {
    api: 'compute',
    id: regional('region', 'networkEndpointGroups'),
    replacedBy: ['name', 'region', 'cloudRun'],
    needs: (inputs) => [
      `projects/${text(inputs, 'project')}/locations/${text(inputs, 'region')}/services/${String(within(inputs, 'cloudRun', 'service'))}`,
    ],
  },
  'gcp:compute/backendService:BackendService': {
    api: 'compute',
    id: named('global/backendServices'),
    replacedBy: ['name'],
    needs: (inputs) => texts([within(inputs, 'backends', 0, 'group')]),
    refuses: (inputs) =>
      'timeoutSec' in inputs
        ? 'Error 400: Timeout sec is not supported for a backend service with Serverless network endpoint groups.'
        : undefined,
  },
  'gcp:compute/uRLMap:URLMap': {
    api: 'compute',
    id: named('global/urlMaps'),
    replacedBy: ['name'],
    needs: (inputs) => texts([inputs.defaultService, within(inputs, 'pathMatchers', 0, 'defaultService')]),
    refuses: (inputs) =>
      (inputs.defaultService === undefined) === (inputs.defaultUrlRedirect === undefined)
        ? 'Error 400: exactly one default is wanted'
        : undefined,
  },
  'gcp:compute/targetHttpsProxy:TargetHttpsProxy': {
    api: 'compute',
    id: named('global/targetHttpsProxies'),
    replacedBy: ['name'],
    needs: (inputs) => [text(inputs, 'urlMap'), text(inputs, 'certificateMap').replace('//certificatemanager.googleapis.com/', '')],
  },
  'gcp:compute/targetHttpProxy:TargetHttpProxy': {
    api: 'compute',
    id: named('global/targetHttpProxies'),
    replacedBy: ['name'],
    needs: (inputs) => [text(inputs, 'urlMap')],
  },
  'gcp:compute/globalForwardingRule:GlobalForwardingRule': {
    api: 'compute',
    id: named('global/forwardingRules'),
    replacedBy: ['name', 'ipAddress', 'portRange'],
    needs: (inputs) => [text(inputs, 'target'), text(inputs, 'ipAddress')],
  },
};

const certificates: Readonly<Record<string, Kind>> = {
  'gcp:certificatemanager/dnsAuthorization:DnsAuthorization': {
    api: 'certificatemanager',
    id: named('locations/global/dnsAuthorizations'),
    replacedBy: ['name', 'domain'],
    outputs: (inputs) => ({
      dnsResourceRecords: [
        { name: `_acme-challenge.${text(inputs, 'domain')}.`, type: 'CNAME', data: '0123.4.authorize.certificatemanager.goog.' },
      ],
    }),
    refuses: (inputs) =>
      text(inputs, 'domain').startsWith('*') ? 'Error 400: an authorization is for a domain without its wildcard' : undefined,
  },
  'gcp:certificatemanager/certificate:Certificate': {
    api: 'certificatemanager',
    id: named('locations/global/certificates'),
    replacedBy: ['name', 'managed', 'scope'],
    needs: (inputs) => texts(within(inputs, 'managed', 'dnsAuthorizations')),
  },
  'gcp:certificatemanager/certificateMap:CertificateMap': {
    api: 'certificatemanager',
    id: named('locations/global/certificateMaps'),
    replacedBy: ['name'],
  },
  'gcp:certificatemanager/certificateMapEntry:CertificateMapEntry': {
    api: 'certificatemanager',
    id: (inputs) =>
      `projects/${text(inputs, 'project')}/locations/global/certificateMaps/${text(inputs, 'map')}/certificateMapEntries/${text(inputs, 'name')}`,
    replacedBy: ['name', 'map', 'hostname'],
    needs: (inputs) => [
      `projects/${text(inputs, 'project')}/locations/global/certificateMaps/${text(inputs, 'map')}`,
      ...texts(inputs.certificates),
    ],
  },
};

const NAME_RULES = { account: /^[a-z](?:[-a-z0-9]{4,28}[a-z0-9])$/, role: /^[a-zA-Z0-9_.]{3,64}$/, secret: /^[\w-]{1,255}$/ } as const;

const identities: Readonly<Record<string, Kind>> = {
  'gcp:projects/service:Service': {
    api: '',
    id: (inputs) => `${text(inputs, 'project')}/${text(inputs, 'service')}`,
    replacedBy: ['service', 'project'],
    refuses: (inputs) => (/^[a-z]+\.googleapis\.com$/.test(text(inputs, 'service')) ? undefined : 'Error 404: no such API'),
  },
  'gcp:projects/serviceIdentity:ServiceIdentity': {
    api: 'serviceusage',
    id: (inputs) => `projects/${text(inputs, 'project')}/services/${text(inputs, 'service')}`,
    replacedBy: ['service', 'project'],
    outputs: (_, __, { number }) => {
      const email = `service-${number}@gcp-sa-secretmanager.iam.gserviceaccount.com`;
      return { email, member: `serviceAccount:${email}` };
    },
  },
  'gcp:serviceaccount/account:Account': {
    api: 'iam',
    id: (inputs) => `projects/${text(inputs, 'project')}/serviceAccounts/${emailOf(inputs)}`,
    replacedBy: ['accountId', 'project'],
    outputs: (inputs, id) => ({ email: emailOf(inputs), member: `serviceAccount:${emailOf(inputs)}`, name: id, uniqueId: '1' }),
    refuses: matching(NAME_RULES.account, 'accountId'),
  },
  'gcp:projects/iAMCustomRole:IAMCustomRole': {
    api: 'iam',
    id: (inputs) => `projects/${text(inputs, 'project')}/roles/${text(inputs, 'roleId')}`,
    replacedBy: ['roleId'],
    outputs: (_, id) => ({ name: id, deleted: false }),
    refuses: matching(NAME_RULES.role, 'roleId'),
  },
  'gcp:projects/iAMMember:IAMMember': membership('cloudresourcemanager', 'project'),
  'gcp:storage/bucketIAMMember:BucketIAMMember': membership('storage', 'bucket'),
  'gcp:serviceaccount/iAMMember:IAMMember': membership('iam', 'serviceAccountId'),
  'gcp:secretmanager/secretIamMember:SecretIamMember': membership('secretmanager', 'secretId'),
  'gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember': membership('cloudkms', 'cryptoKeyId'),
  'gcp:artifactregistry/repositoryIamMember:RepositoryIamMember': {
    ...membership('artifactregistry', 'repository'),
    id: (inputs) => ['project', 'location', 'repository', 'role', 'member'].map((name) => text(inputs, name)).join('/'),
  },
};

const emailOf = (inputs: Inputs): string => `${text(inputs, 'accountId')}@${text(inputs, 'project')}.iam.gserviceaccount.com`;
const canRun = (inputs: Inputs): readonly string[] => [
  `projects/${text(inputs, 'project')}/serviceAccounts/${String(within(inputs, 'template', 'serviceAccount'))}`,
  ...texts([
    within(inputs, 'template', 'vpcAccess', 'networkInterfaces', 0, 'network'),
    within(inputs, 'template', 'vpcAccess', 'networkInterfaces', 0, 'subnetwork'),
  ]),
];
/** A revision that may not read what it is given does not start. */
function canRead(inputs: Inputs, { has }: PlatformProject): string | undefined {
  const envs = within(inputs, 'template', 'containers', 0, 'envs');
  const member = `serviceAccount:${String(within(inputs, 'template', 'serviceAccount'))}`;
  for (const env of Array.isArray(envs) ? envs : []) {
    const secret = within(env, 'valueSource', 'secretKeyRef', 'secret');
    if (typeof secret !== 'string') continue;
    if (!has(`${secret}/roles/secretmanager.secretAccessor/${member}`)) return `Permission denied on secret: ${secret} for ${member}`;
  }
  return undefined;
}

const stores: Readonly<Record<string, Kind>> = {
  'gcp:storage/bucket:Bucket': {
    api: 'storage',
    id: (inputs) => text(inputs, 'name'),
    replacedBy: ['name', 'location'],
    outputs: (inputs) => ({ url: `gs://${text(inputs, 'name')}` }),
    refuses: matching(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, 'name'),
  },
  'gcp:artifactregistry/repository:Repository': {
    api: 'artifactregistry',
    id: (inputs) =>
      `projects/${text(inputs, 'project')}/locations/${text(inputs, 'location')}/repositories/${text(inputs, 'repositoryId')}`,
    replacedBy: ['repositoryId', 'location', 'format'],
    outputs: (inputs) => ({ name: text(inputs, 'repositoryId') }),
    refuses: matching(/^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'repositoryId'),
  },
  'gcp:kms/keyRing:KeyRing': {
    api: 'cloudkms',
    id: (inputs) => `projects/${text(inputs, 'project')}/locations/${text(inputs, 'location')}/keyRings/${text(inputs, 'name')}`,
    replacedBy: ['name', 'location'],
    nameIsFree: 'never',
  },
  'gcp:kms/cryptoKey:CryptoKey': {
    api: 'cloudkms',
    id: (inputs) => `${text(inputs, 'keyRing')}/cryptoKeys/${text(inputs, 'name')}`,
    replacedBy: ['name', 'keyRing'],
    needs: (inputs) => [text(inputs, 'keyRing')],
    nameIsFree: 'never',
  },
  'gcp:secretmanager/secret:Secret': {
    api: 'secretmanager',
    id: (inputs) => `projects/${text(inputs, 'project')}/secrets/${text(inputs, 'secretId')}`,
    replacedBy: ['secretId', 'replication'],
    outputs: (_, id) => ({ name: id }),
    needs: (inputs) => texts([within(inputs, 'replication', 'userManaged', 'replicas', 0, 'customerManagedEncryption', 'kmsKeyName')]),
    refuses: (inputs, { all }) => {
      const key = within(inputs, 'replication', 'userManaged', 'replicas', 0, 'customerManagedEncryption', 'kmsKeyName');
      if (
        key === undefined ||
        all().some(({ type, inputs: it }) => type.startsWith('gcp:kms/cryptoKeyIAMMember') && it.cryptoKeyId === key)
      )
        return matching(NAME_RULES.secret, 'secretId')(inputs);
      return `Error 403: Secret Manager may not use ${String(key)}`;
    },
  },
  'gcp:secretmanager/secretVersion:SecretVersion': {
    api: 'secretmanager',
    id: (inputs, { next }) => `${text(inputs, 'secret')}/versions/${next(text(inputs, 'secret'))}`,
    replacedBy: ['secret', 'secretData'],
    needs: (inputs) => [text(inputs, 'secret')],
    outputs: (_, id) => ({ version: id.slice(id.lastIndexOf('/') + 1), name: id }),
  },
  'gcp:servicenetworking/connection:Connection': {
    api: 'servicenetworking',
    id: (inputs) => `${text(inputs, 'network')}:${text(inputs, 'service')}`,
    replacedBy: ['network', 'service'],
    needs: (inputs) => [text(inputs, 'network')],
    outputs: () => ({ peering: 'servicenetworking-googleapis-com' }),
  },
  'gcp:sql/databaseInstance:DatabaseInstance': {
    api: 'sqladmin',
    id: (inputs) => text(inputs, 'name'),
    replacedBy: ['name', 'region'],
    needs: (inputs) => texts([within(inputs, 'settings', 'ipConfiguration', 'privateNetwork')]),
    outputs: (inputs, id, { hostOf }) => ({
      privateIpAddress: hostOf(id),
      connectionName: `${text(inputs, 'project')}:${text(inputs, 'region')}:${id}`,
    }),
    refuses: (inputs, { all }) => {
      const network = within(inputs, 'settings', 'ipConfiguration', 'privateNetwork');
      const isPeered = all().some(({ type, inputs: it }) => type.startsWith('gcp:servicenetworking/') && it.network === network);
      return isPeered ? undefined : 'Error 400: NETWORK_NOT_PEERED';
    },
    stays: (inputs) =>
      inputs.deletionProtection === true || within(inputs, 'settings', 'deletionProtectionEnabled') === true
        ? 'Error, failed to delete instance because deletion_protection is set to true. Set it to false to proceed with instance deletion'
        : undefined,
    nameIsFree: 'never',
  },
  'gcp:sql/database:Database': {
    api: 'sqladmin',
    id: (inputs) => `projects/${text(inputs, 'project')}/instances/${text(inputs, 'instance')}/databases/${text(inputs, 'name')}`,
    replacedBy: ['name', 'instance'],
    needs: (inputs) => [text(inputs, 'instance')],
  },
  'gcp:sql/user:User': {
    api: 'sqladmin',
    id: (inputs) => `${text(inputs, 'name')}//${text(inputs, 'instance')}`,
    replacedBy: ['name', 'instance'],
    needs: (inputs) => [text(inputs, 'instance')],
  },
  'gcp:redis/instance:Instance': {
    api: 'redis',
    id: regional('region', 'instances'),
    replacedBy: ['name', 'region', 'tier', 'connectMode'],
    needs: (inputs) => [text(inputs, 'authorizedNetwork')],
    outputs: () => ({ host: '10.81.0.20', port: 6379, authString: '0'.repeat(36) }),
  },
};

const running: Readonly<Record<string, Kind>> = {
  'gcp:cloudrunv2/service:Service': {
    api: 'run',
    id: regional('location', 'services'),
    replacedBy: ['name', 'location'],
    needs: canRun,
    outputs: (inputs) => ({ uri: `https://${text(inputs, 'name')}-abcdef.a.run.app` }),
    refuses: (inputs, project) => matching(/^[a-z](?:[-a-z0-9]{0,47}[a-z0-9])?$/, 'name')(inputs) ?? canRead(inputs, project),
  },
  'gcp:cloudrunv2/workerPool:WorkerPool': {
    api: 'run',
    id: regional('location', 'workerPools'),
    replacedBy: ['name', 'location'],
    needs: canRun,
    refuses: canRead,
  },
  'gcp:dns/managedZone:ManagedZone': {
    api: 'dns',
    id: named('managedZones'),
    replacedBy: ['name', 'dnsName'],
    outputs: () => ({ nameServers: ['ns-cloud-a1.googledomains.com.', 'ns-cloud-a2.googledomains.com.'] }),
  },
  'gcp:dns/recordSet:RecordSet': {
    api: 'dns',
    id: (inputs) =>
      `projects/${text(inputs, 'project')}/managedZones/${text(inputs, 'managedZone')}/rrsets/${text(inputs, 'name')}/${text(inputs, 'type')}`,
    replacedBy: ['name', 'type', 'managedZone'],
    refuses: (inputs) => (text(inputs, 'name').endsWith('.') ? undefined : 'Error 400: a record’s name ends with a point'),
  },
  'gcp:logging/projectBucketConfig:ProjectBucketConfig': {
    api: 'logging',
    id: (inputs) => `projects/${text(inputs, 'project')}/locations/${text(inputs, 'location')}/buckets/${text(inputs, 'bucketId')}`,
    replacedBy: ['bucketId', 'location'],
    nameIsFree: 'never',
  },
  'gcp:logging/projectSink:ProjectSink': {
    api: 'logging',
    id: named('sinks'),
    replacedBy: ['name'],
    needs: (inputs) => [text(inputs, 'destination').replace('logging.googleapis.com/', '')],
    outputs: () => ({ writerIdentity: '' }),
  },
  'gcp:billing/budget:Budget': {
    api: 'billingbudgets',
    id: (inputs) => `billingAccounts/${text(inputs, 'billingAccount')}/budgets/1`,
    replacedBy: ['billingAccount'],
    refuses: (inputs, { number }) =>
      texts(within(inputs, 'budgetFilter', 'projects')).join() === `projects/${number}` ? undefined : 'Error 400: no such project',
  },
};

export const KINDS: Readonly<Record<string, Kind>> = { ...compute, ...certificates, ...identities, ...stores, ...running };
