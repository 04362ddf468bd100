import { deliveries } from './suites/deliveries.ts';
import { reconcile } from './suites/reconcile.ts';

reconcile('github');
deliveries('github');
