import { forks } from './suites/forks.ts';

forks('github');
