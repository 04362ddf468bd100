import { database } from '../scenarios/suites/database.ts';

database('github', 'gcp');
