import { describeNextFrontend, describeRecovery } from './recover-suite.js';

// Its instructions are emulated: once is enough.
describeRecovery('qemu-6.1', [{ name: 'in its sandbox', options: [] }]);
describeNextFrontend('qemu-6.1');
