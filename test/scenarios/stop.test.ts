import { stop } from './suites/stop.ts';

stop('github');
