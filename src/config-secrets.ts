import type { Config } from './config.ts';

/** Everything configured that must never be written anywhere. */
export function secretsOf(config: Config): readonly string[] {
  const { github, gitlab, apiToken, secretKey, databaseUrl, previewDatabaseUrl, redisUrl, pulumiBackendUrl, pulumiSecrets } = config;
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
  const passphrase = pulumiSecrets !== null && 'passphrase' in pulumiSecrets ? pulumiSecrets.passphrase : null;
  return [...forge, apiToken, passphrase, secretKey?.toString('base64'), ...passwords].filter(
    (secret): secret is string => typeof secret === 'string' && secret !== '',
  );
}
