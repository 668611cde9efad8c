import { describeChecks } from './checks-suite.js';

describeChecks('uml-6.12');
