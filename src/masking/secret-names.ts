/** Names of settings whose value is likely a secret: it is masked in every log, whatever prints it. */
const SECRET_NAME = /(?:key|token|secret|passw(?:or)?d|credential|dsn|private|database_url)/i;

/** The values in an app's environment that nobody but the app should read; of an address also its password, which may be printed alone. */
export const secretsIn = (env: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(env).flatMap(([name, value]) => (SECRET_NAME.test(name) ? [value, ...passwordsIn(value)] : []));

/** As it is written in the address, and as it is meant. */
function passwordsIn(value: string): readonly string[] {
  const written = URL.parse(value)?.password;
  if (!written) return [];
  try {
    return [written, decodeURIComponent(written)];
  } catch {
    // A percent sign that encodes nothing stands for itself.
    return [written];
  }
}
