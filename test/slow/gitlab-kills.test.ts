import { kills, POINTS_OF_FORGE } from '../scenarios/suites/kills.ts';

kills('gitlab', POINTS_OF_FORGE);
