import { reconcile } from './suites/reconcile.ts';

reconcile('github');
