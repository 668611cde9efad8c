import { describeFull } from './full-suite.js';

describeFull('uml-6.12', 'cache=auto');
describeFull('uml-6.12', 'cache=auto,writeback=true');
