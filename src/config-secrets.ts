import type { Config } from './config.ts';

/** Everything configured that must never be written anywhere. */
export function secretsOf(config: Config): readonly string[] {
  const { github, gitlab, apiToken, secretKey, databaseUrl, previewDatabaseUrl, redisUrl, pulumiBackendUrl } = config;
  const passwords = [databaseUrl, previewDatabaseUrl, redisUrl, pulumiBackendUrl].map((url) =>
    url?.includes('://') ? decodeURIComponent(new URL(url).password) : '',
  );
  const forge = [
    github?.privateKey,
    github?.webhookSecret,
    github?.clientSecret,
    gitlab?.token,
    gitlab?.webhookSecret,
    ...(gitlab?.signingTokens ?? []),
  ];
  return [...forge, apiToken, secretKey?.toString('base64'), ...passwords].filter(
    (secret): secret is string => typeof secret === 'string' && secret !== '',
  );
}
