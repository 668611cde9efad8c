import { describeRing } from './ring-suite.js';

describeRing('uml-6.1');
