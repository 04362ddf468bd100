/** Names of settings whose value is likely a secret: it is masked in every log, whatever prints it. */
const SECRET_NAME = /(?:key|token|secret|passw(?:or)?d|credential|dsn|private|database_url)/i;

/** The values in an app's environment that nobody but the app should read. */
export const secretsIn = (env: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(env).flatMap(([name, value]) => (SECRET_NAME.test(name) ? [value] : []));
