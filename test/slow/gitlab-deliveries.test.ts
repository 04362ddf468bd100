import { deliveries } from '../scenarios/suites/deliveries.ts';

deliveries('gitlab');
