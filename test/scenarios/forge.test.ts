import { forgeTrouble } from './suites/forge.ts';

forgeTrouble('github');
