import { siteDatabase } from '../scenarios/suites/site-database.ts';

siteDatabase('github', 'gcp');
