import { commands } from '../scenarios/suites/commands.ts';

commands('github', 'gcp');
