import { describeRoot } from './root-suite.js';

describeRoot('uml-sid');
