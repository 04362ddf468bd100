import { deliveries } from './suites/deliveries.ts';

deliveries('gitlab');
