import { describeGuest } from './guest-suite.js';

describeGuest('uml-6.12');
