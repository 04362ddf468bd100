import { settings } from './suites/settings.ts';

settings('github');
