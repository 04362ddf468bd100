import { homedir } from 'node:os';
import { join } from 'node:path';
import pulumiPackage from '@pulumi/pulumi/package.json' with { type: 'json' };

/** The folder of the CLI that set-up has put there; it is exactly the SDK's version. */
export const pulumiCliRoot = (): string => join(homedir(), '.pulumi/versions', pulumiPackage.version);
