import { settings } from '../scenarios/suites/settings.ts';

settings('github', 'gcp');
