import { places } from '../scenarios/suites/places.ts';

places('gitlab');
