import { describeRing } from './ring-suite.js';

describeRing('uml-sid');
