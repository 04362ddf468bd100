import { commands } from './suites/commands.ts';

commands('github');
