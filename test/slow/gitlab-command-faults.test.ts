import { commandFaults } from '../scenarios/suites/command-faults.ts';

commandFaults('gitlab');
