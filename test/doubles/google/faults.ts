/** Google's codes (`google.rpc.Code`) that a stand-in answers with, and the HTTP status of each. */
export const CODES = {
  INVALID_ARGUMENT: { code: 3, http: 400 },
  DEADLINE_EXCEEDED: { code: 4, http: 504 },
  NOT_FOUND: { code: 5, http: 404 },
  ALREADY_EXISTS: { code: 6, http: 409 },
  PERMISSION_DENIED: { code: 7, http: 403 },
  RESOURCE_EXHAUSTED: { code: 8, http: 429 },
  FAILED_PRECONDITION: { code: 9, http: 400 },
  ABORTED: { code: 10, http: 409 },
  INTERNAL: { code: 13, http: 500 },
  UNAVAILABLE: { code: 14, http: 503 },
  UNAUTHENTICATED: { code: 16, http: 401 },
} as const;
export type Status = keyof typeof CODES;

/** An answer that refuses, as each of Google's APIs gives it. */
export class GoogleError extends Error {
  readonly status: Status;
  readonly code: number;
  readonly http: number;
  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
    this.code = CODES[status].code;
    this.http = CODES[status].http;
  }
}

/** `rpc` is the number of `google.rpc.Code`. */
export const statusOfCode = (rpc: number): Status | undefined => {
  for (const [status, { code }] of Object.entries(CODES)) if (code === rpc) return toStatus(status);
  return undefined;
};
const toStatus = (text: string): Status | undefined => STATUSES.find((status) => status === text);
const STATUSES: readonly Status[] = [
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'INTERNAL',
  'UNAVAILABLE',
  'UNAUTHENTICATED',
];

/**
 * What goes wrong next. `refuse`: the call itself. `fail`: it is taken, and its long-running operation ends so. `hang`: it is taken, and
 * its operation never ends. `lose`: it is done, and the answer never arrives.
 */
export type GoogleFault =
  | { readonly kind: 'refuse'; readonly status: Status; readonly message?: string }
  | { readonly kind: 'fail'; readonly status: Status; readonly message: string }
  | { readonly kind: 'hang' }
  | { readonly kind: 'lose' };

export interface Faults {
  /**
   * The next `times` calls of the method, in the order in which they were asked for.
   * @param what the permission that the method needs: `run.services.create`, `cloudbuild.builds.create`, `storage.objects.create` …
   */
  next(what: string, fault: GoogleFault, times?: number): void;
  /** The next call's fault, which is then gone. */
  take(what: string): GoogleFault | undefined;
  /** Every call about the region is answered with 503 until the returned is disposed. */
  regionDown(region: string): Disposable;
  isDown(region: string): boolean;
  /** Throws when the region is down. */
  check(region: string): void;
  /** The account that calls has lost the permission, until the returned is disposed. */
  withhold(permission: string): Disposable;
  isWithheld(permission: string): boolean;
}

export function openFaults(): Faults {
  const waiting = new Map<string, GoogleFault[]>();
  const down = new Set<string>();
  const withheld = new Set<string>();
  const within = (set: Set<string>, one: string): Disposable => {
    set.add(one);
    return { [Symbol.dispose]: () => void set.delete(one) };
  };
  return {
    next(what, fault, times = 1) {
      waiting.set(what, [...(waiting.get(what) ?? []), ...Array.from({ length: times }, () => fault)]);
    },
    take: (what) => waiting.get(what)?.shift(),
    regionDown: (region) => within(down, region),
    isDown: (region) => down.has(region),
    check(region) {
      if (down.has(region)) throw new GoogleError('UNAVAILABLE', 'The service is currently unavailable.');
    },
    withhold: (permission) => within(withheld, permission),
    isWithheld: (permission) => withheld.has(permission),
  };
}
