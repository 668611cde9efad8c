import { describeRoot } from './root-suite.js';

describeRoot('qemu-6.1');
