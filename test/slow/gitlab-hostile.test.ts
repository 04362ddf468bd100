import { hostile } from '../scenarios/suites/hostile.ts';

hostile('gitlab');
