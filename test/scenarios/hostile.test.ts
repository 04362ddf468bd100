import { hostile } from './suites/hostile.ts';

hostile('github');
