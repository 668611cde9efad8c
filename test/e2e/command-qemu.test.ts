import { describeCommand } from './command-suite.js';

describeCommand('qemu-6.1');
describeCommand('qemu-10');
describeCommand('qemu-11');
