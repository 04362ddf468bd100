import { deliveriesContract } from './forge-deliveries.ts';
import { factsContract } from './forge-facts.ts';
import { sourceContract } from './forge-source.ts';
import { voiceContract } from './forge-voice.ts';
import { openDeliveries, openFacts, openSource, openVoice } from './gitlab-world.ts';

factsContract('GitLab', openFacts);
voiceContract('GitLab', openVoice, { checks: 'one line' });
sourceContract('GitLab', openSource);
deliveriesContract('GitLab', openDeliveries);
