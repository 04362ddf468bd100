import { deliveriesContract } from './forge-deliveries.ts';
import { factsContract } from './forge-facts.ts';
import { sourceContract } from './forge-source.ts';
import { voiceContract } from './forge-voice.ts';
import { openDeliveries, openFacts, openSource, openVoice } from './github-world.ts';

factsContract('GitHub', openFacts);
voiceContract('GitHub', openVoice);
sourceContract('GitHub', openSource);
deliveriesContract('GitHub', openDeliveries);
