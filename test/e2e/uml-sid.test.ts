import { describeGuest } from './guest-suite.js';

describeGuest('uml-sid');
