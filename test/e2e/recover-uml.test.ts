import { describeRecovery } from './recover-suite.js';

describeRecovery('uml-6.1');
describeRecovery('uml-sid');
