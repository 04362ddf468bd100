import { places } from './suites/places.ts';

places('github');
