import { forgeTrouble } from '../scenarios/suites/forge.ts';

forgeTrouble('gitlab');
