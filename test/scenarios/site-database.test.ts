import { siteDatabase } from './suites/site-database.ts';

siteDatabase('github');
