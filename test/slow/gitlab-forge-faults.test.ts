import { forgeFaults } from '../scenarios/suites/forge-faults.ts';

forgeFaults('gitlab');
