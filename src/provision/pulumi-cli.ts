import { homedir } from 'node:os';
import { join } from 'node:path';
import pulumiPackage from '@pulumi/pulumi/package.json' with { type: 'json' };

/** PATH of Pulumi's children, and all that they find plugins by beside their own folder. */
export const PULUMI_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The folder of the CLI that set-up has put there; it is exactly the SDK's version. */
export const pulumiCliRoot = (): string => join(homedir(), '.pulumi/versions', pulumiPackage.version);
