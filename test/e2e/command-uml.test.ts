import { describeCommand } from './command-suite.js';

describeCommand('uml-6.1');
describeCommand('uml-6.12');
describeCommand('uml-sid');
