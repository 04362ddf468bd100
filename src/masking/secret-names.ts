/** Names of settings whose value is likely a secret: it is masked in every log, whatever prints it. */
const SECRET_NAME = /(?:key|token|secret|passw(?:or)?d|credential|dsn|private|database_url)/i;

/**
 * What one app's settings may have masked. They are written by whoever sends the pull, and every form of each is looked for in all that
 * its code prints; without a bound that alone could keep this process busy.
 */
const MOST = { secrets: 32, characters: 16 * 1024, each: 4 * 1024 };
/** A value of fewer different characters is no secret, and is found in its own repetition wherever one looks. */
const FEWEST_DIFFERENT = 4;

/**
 * The values in an app's environment that nobody but the app should read; of an address also its password, which may be printed alone.
 * The address of the site's own database, which we made, comes first.
 */
export function secretsIn(env: Readonly<Record<string, string>>): readonly string[] {
  const { DATABASE_URL: database, ...others } = env;
  const named = Object.entries(others).filter(([name]) => SECRET_NAME.test(name));
  const values = [...(database === undefined ? [] : [database]), ...named.map(([, value]) => value)];
  const secrets = values
    .flatMap((value) => [value, ...passwordsIn(value)])
    .filter((value) => value.length <= MOST.each && new Set(value).size >= FEWEST_DIFFERENT);
  const room = { secrets: MOST.secrets, characters: MOST.characters };
  return secrets.filter(({ length }) => {
    if (room.secrets === 0 || room.characters < length) return false;
    room.secrets -= 1;
    room.characters -= length;
    return true;
  });
}

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
