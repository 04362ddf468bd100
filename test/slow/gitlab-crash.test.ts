import { crash } from '../scenarios/suites/crash.ts';

crash('gitlab');
