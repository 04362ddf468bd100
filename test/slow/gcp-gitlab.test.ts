import { describe } from 'vitest';
import { commands } from '../scenarios/suites/commands.ts';
import { forks } from '../scenarios/suites/forks.ts';
import { story } from '../scenarios/suites/story.ts';

// What the forge and the target have to do with each other, they have through Mayfly: the rest of each is tried with one of the other.
describe('the story', () => story('gitlab', 'gcp'));
describe('commands', () => commands('gitlab', 'gcp'));
describe('forks', () => forks('gitlab', 'gcp'));
