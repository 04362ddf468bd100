import { reconcile } from '../scenarios/suites/reconcile.ts';

reconcile('github', 'gcp');
