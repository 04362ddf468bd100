import { forks } from '../scenarios/suites/forks.ts';

forks('github', 'gcp');
