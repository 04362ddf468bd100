import { forgeFaults } from './suites/forge-faults.ts';

forgeFaults('github');
