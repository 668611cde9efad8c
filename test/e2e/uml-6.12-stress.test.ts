import { describeStress } from './stress-suite.js';

describeStress('uml-6.12', ['cache=auto', 'cache=auto,writeback=true']);
