import { removal } from '../scenarios/suites/removal.ts';

removal('github', 'gcp');
