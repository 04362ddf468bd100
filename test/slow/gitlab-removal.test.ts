import { removal } from '../scenarios/suites/removal.ts';

removal('gitlab');
