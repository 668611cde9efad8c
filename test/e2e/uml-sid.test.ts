import { describeGuest } from './guest-suite.js';

describeGuest('uml-sid', { archived: 10_000 });
