/** What a gate by itself is given on Google Cloud, and starts with. Its one secret is in `DATABASE_URL`. */
export const GATE_SETTINGS = [
  'DATABASE_URL',
  'GOOGLE_CLOUD_PROJECT',
  'MAYFLY_GATE_PORT',
  'MAYFLY_INSTANCE',
  'MAYFLY_PLATFORM',
  'MAYFLY_PREVIEW_URL',
  'MAYFLY_PUBLIC_URL',
  'MAYFLY_REGION',
  'MAYFLY_REGIONS',
  'MAYFLY_ROLES',
  'MAYFLY_TARGET',
  'MAYFLY_TRUSTED_PROXIES',
] as const;
