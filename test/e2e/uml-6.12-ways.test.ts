import { describeWays } from './ways-suite.js';

describeWays('uml-6.12', '');
