import { kills, POINTS_OF_TARGET } from '../scenarios/suites/kills.ts';

kills('github', POINTS_OF_TARGET, 'gcp');
