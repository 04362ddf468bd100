import { commandFaults } from './suites/command-faults.ts';

commandFaults('github');
