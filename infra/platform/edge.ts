import * as gcp from '@pulumi/gcp';
import { interpolate, type Output } from '@pulumi/pulumi';
import type { ControlPlane } from './control-plane.ts';
import type { Ground } from './ground.ts';
import type { DnsRecord } from './plan.ts';

/** The address is there before what stands behind it: Mayfly has to know whom to believe. */
export function declareAddress({ plan, labels, name, after }: Ground): gcp.compute.GlobalAddress {
  const props = { project: plan.project, name: name('edge'), addressType: 'EXTERNAL', labels };
  return new gcp.compute.GlobalAddress('edge-address', props, after());
}

const MANAGED = 'EXTERNAL_MANAGED';
const TTL_SECONDS = 300;

type Behind = { readonly address: gcp.compute.GlobalAddress; readonly certificates: gcp.certificatemanager.CertificateMap };

/** The load balancer: one address, TLS for the control plane and the wildcard, and plain HTTP that is sent on. */
export function declareEdge(ground: Ground, { web, gate }: ControlPlane, { address, certificates }: Behind): void {
  const { plan, name, after } = ground;
  const { project, hosts } = plan;
  const edge = name('edge');
  const [control, previews] = [declareBackend(ground, 'web', web), declareBackend(ground, 'gate', gate)];
  const routes = {
    // The gate says what is no site.
    defaultService: previews.id,
    hostRules: [{ hosts: [hosts.control], pathMatcher: 'control' }],
    pathMatchers: [{ name: 'control', defaultService: control.id }],
  };
  const urlMap = new gcp.compute.URLMap('edge-routes', { project, name: edge, ...routes }, after()).id;
  const certificateMap = interpolate`//certificatemanager.googleapis.com/${certificates.id}`;
  const secure = new gcp.compute.TargetHttpsProxy('edge-https', { project, name: edge, urlMap, certificateMap }, after());
  const forward = (id: string, port: string, target: Output<string>): void => {
    const props = { project, name: `${edge}-${id}`, ipAddress: address.id, portRange: port, target, loadBalancingScheme: MANAGED };
    new gcp.compute.GlobalForwardingRule(`edge-${id}-rule`, { ...props, labels: ground.labels }, after());
  };
  forward('https', '443', secure.id);
  forward('http', '80', declareRedirect(ground).id);
}

function declareRedirect({ plan, name, after }: Ground): gcp.compute.TargetHttpProxy {
  const { project } = plan;
  const edge = name('edge');
  const defaultUrlRedirect = { httpsRedirect: true, redirectResponseCode: 'MOVED_PERMANENTLY_DEFAULT', stripQuery: false };
  const redirect = new gcp.compute.URLMap('edge-redirect', { project, name: `${edge}-redirect`, defaultUrlRedirect }, after());
  return new gcp.compute.TargetHttpProxy('edge-http', { project, name: edge, urlMap: redirect.id }, after());
}

function declareBackend({ plan, name, after }: Ground, part: 'web' | 'gate', service: gcp.cloudrunv2.Service): gcp.compute.BackendService {
  const { project, places } = plan;
  const called = `${name('edge')}-${part}`;
  const group = new gcp.compute.RegionNetworkEndpointGroup(
    `edge-${part}-group`,
    { project, name: called, region: places.home, networkEndpointType: 'SERVERLESS', cloudRun: { service: service.name } },
    after(),
  );
  return new gcp.compute.BackendService(
    `edge-${part}`,
    { project, name: called, loadBalancingScheme: MANAGED, protocol: 'HTTPS', backends: [{ group: group.id }] },
    after(),
  );
}

export type Certificates = { readonly map: gcp.certificatemanager.CertificateMap; readonly authorisations: readonly Output<DnsRecord>[] };

/** One certificate for the control plane, the previews' host and every name below it, once the DNS shows that they are ours. */
export function declareCertificates({ plan, labels, name, after }: Ground): Certificates {
  const { project, hosts } = plan;
  const edge = name('edge');
  const authorise = (id: 'control' | 'previews', domain: string): gcp.certificatemanager.DnsAuthorization =>
    new gcp.certificatemanager.DnsAuthorization(`edge-${id}-authorisation`, { project, name: `${edge}-${id}`, domain, labels }, after());
  const authorisations = [authorise('control', hosts.control), authorise('previews', hosts.previews)];
  const names = { control: hosts.control, previews: hosts.previews, wildcard: `*.${hosts.previews}` };
  const certificate = new gcp.certificatemanager.Certificate(
    'edge-certificate',
    {
      project,
      name: edge,
      scope: 'DEFAULT',
      managed: { domains: Object.values(names), dnsAuthorizations: authorisations.map(({ id }) => id) },
      labels,
    },
    after(),
  );
  const map = new gcp.certificatemanager.CertificateMap('edge-certificates', { project, name: edge, labels }, after());
  for (const [id, hostname] of Object.entries(names)) {
    const props = { project, name: `${edge}-${id}`, map: map.name, hostname, certificates: [certificate.id], labels };
    new gcp.certificatemanager.CertificateMapEntry(`edge-certificate-${id}`, props, after());
  }
  const shown = authorisations.map(({ dnsResourceRecords }) =>
    dnsResourceRecords.apply(([record]) => ({ name: record?.name ?? '', type: record?.type ?? '', value: record?.data ?? '' })),
  );
  return { map, authorisations: shown };
}

/** Every line that the DNS has to have, and the zone that has them when it is Google's. Returns the records, and the name servers of a zone made here. */
export function declareRecords(
  { plan, labels, name, after }: Ground,
  { address, authorisations }: { readonly address: gcp.compute.GlobalAddress; readonly authorisations: readonly Output<DnsRecord>[] },
): { readonly records: readonly (Output<DnsRecord> | DnsRecord)[]; readonly nameServers: Output<string[]> | readonly string[] } {
  const { project, hosts } = plan;
  const leading = [hosts.control, hosts.previews, `*.${hosts.previews}`].map((host) =>
    address.address.apply((value): DnsRecord => ({ name: `${host}.`, type: 'A', value })),
  );
  const ids = ['control', 'previews', 'wildcard', 'control-authorisation', 'previews-authorisation'];
  const records = [...leading, ...authorisations];
  const { zone } = hosts;
  if (zone === null) return { records, nameServers: [] };
  const made =
    zone.make === null
      ? null
      : new gcp.dns.ManagedZone(
          'zone',
          { project, name: zone.name, dnsName: `${zone.make}.`, description: `Mayfly ${name('edge')}`, labels, forceDestroy: true },
          after(),
        );
  records.forEach((record, at) => {
    const props = { project, managedZone: made === null ? zone.name : made.name, ttl: TTL_SECONDS };
    const parts = { name: record.apply((it) => it.name), type: record.apply((it) => it.type), rrdatas: [record.apply((it) => it.value)] };
    new gcp.dns.RecordSet(`record-${ids[at] ?? at}`, { ...props, ...parts }, after());
  });
  return { records, nameServers: made === null ? [] : made.nameServers };
}
