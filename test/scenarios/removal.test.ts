import { removal } from './suites/removal.ts';

removal('github');
