import { database } from './suites/database.ts';

database('github');
