import { crash } from '../scenarios/suites/crash.ts';

crash('github', 'gcp');
