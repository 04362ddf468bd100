import { ConfigError } from './config.ts';

const WRONG: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EACCES: 'may not be taken by this user',
};

/** Opens what listens on a port. Throws ConfigError, with the variable's name, when the port is not to be had. */
export async function takingPort<T>(name: 'PORT' | 'MAYFLY_GATE_PORT', port: number, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
    const wrong = WRONG[code];
    // Whatever else went wrong is not about the port.
    if (wrong === undefined) throw error;
    throw new ConfigError([{ name, wrong: `${port} ${wrong}`, example: `${name}=${port + 1}` }]);
  }
}
