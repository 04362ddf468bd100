import { stop } from '../scenarios/suites/stop.ts';

stop('github', 'gcp');
