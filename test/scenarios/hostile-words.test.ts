import { hostileWords } from './suites/hostile-words.ts';

hostileWords('github');
