import { hostileWords } from '../scenarios/suites/hostile-words.ts';

hostileWords('gitlab');
