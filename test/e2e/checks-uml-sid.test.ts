import { describeChecks } from './checks-suite.js';

describeChecks('uml-sid');
