import { describeChecks } from './checks-suite.js';

describeChecks('uml-6.12');
// Nothing cached, and locks of the host: every operation reaches the device.
describeChecks('uml-6.12', 'cache=never,timeout=0,posix_locks,flock');
