import { places } from '../scenarios/suites/places.ts';

places('github', 'gcp');
