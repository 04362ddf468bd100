import { story } from './suites/story.ts';

story('github', 'gcp');
