import { describeGuest } from './guest-suite.js';

describeGuest('qemu-6.1');
