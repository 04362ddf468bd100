import { kills } from '../scenarios/suites/kills.ts';

kills('github');
