import type { Names } from './names.ts';

/** A PostgreSQL of Cloud SQL. */
export type PlannedServer = {
  /** `POSTGRES_18` … */
  readonly version: string;
  readonly tier: string;
  readonly diskGb: number;
  readonly availability: 'ZONAL' | 'REGIONAL';
  /** Google and Pulumi both refuse to delete it. */
  readonly guard: 'protected' | 'unprotected';
};

/** What is made once and stays the same over every later `up`. */
export type Kept = {
  /** Eight hex digits in the names that Google does not give out a second time: key rings never, SQL instances after a week. */
  readonly generation: string;
  readonly databasePassword: string;
  readonly previewPassword: string;
  /** `MAYFLY_SECRET_KEY`. */
  readonly secretKey: string;
};

/** Everything that Mayfly needs in a project, as plain values. */
export type PlatformPlan = {
  readonly project: string;
  /** Whose all of it is, in every label: `MAYFLY_INSTANCE`. */
  readonly instance: string;
  readonly places: {
    /** Where Mayfly itself and its database are. */
    readonly home: string;
    /** Where sites may be; the first is the default. */
    readonly regions: readonly string[];
  };
  readonly hosts: {
    readonly control: string;
    /** Every site gets a name under it. */
    readonly previews: string;
    /** The Cloud DNS zone that gets the records; null: they are entered by hand elsewhere. */
    readonly zone: null | { readonly name: string; readonly make: string | null };
  };
  readonly mayfly: {
    readonly image: string;
    readonly workers: { readonly count: number; readonly cpu: number; readonly memoryGb: number };
    readonly settings: Readonly<Record<string, string>>;
    /** Settings that are in Secret Manager already: the variable, and the secret's id. */
    readonly secrets: Readonly<Record<string, string>>;
  };
  readonly stores: {
    readonly database: PlannedServer;
    readonly previews: PlannedServer;
    /** Of a Memorystore for Redis; null: the queue is in PostgreSQL. */
    readonly redisGb: number | null;
    /** After so many days an image goes, whoever forgot it. */
    readonly imageDays: number;
  };
  readonly watch: {
    readonly logDays: number;
    readonly budget: null | { readonly account: string; readonly amount: number; readonly currency: string };
  };
  readonly names: Names;
  readonly kept: Kept;
  /** Of the gate's own role in Mayfly's database, which web and worker make: they derive the same from the secret key. */
  readonly gatePassword: string;
};

/** What a `Platform` says of a region: what Mayfly is told of all this. */
export type DescribedRegion = {
  readonly bucket: string;
  readonly images: { readonly trusted: string; readonly untrusted: string };
  readonly caches: { readonly trusted: string; readonly untrusted: string };
  readonly network: string;
  readonly subnetwork: string;
  readonly database: string | null;
};

/** The value of `MAYFLY_PLATFORM`. Nothing in it is secret. */
export type Description = {
  readonly project: string;
  readonly gate: string;
  readonly runAs: { readonly trusted: string; readonly untrusted: string };
  readonly buildAs: { readonly trusted: string; readonly untrusted: string };
  readonly regions: Readonly<Record<string, DescribedRegion>>;
};

/** A line that a DNS zone has to have. */
export type DnsRecord = { readonly name: string; readonly type: string; readonly value: string };

/** What the stack's outputs are, once they are known. */
export type PlatformOutputs = {
  readonly platform: Description;
  readonly addresses: { readonly control: string; readonly previews: string; readonly ip: string };
  readonly records: readonly DnsRecord[];
  /** Of a zone that was made here: what the domain's registrar has to know. */
  readonly nameServers: readonly string[];
};

export type Trust = 'trusted' | 'untrusted';
