/** What the command does only if it is told to, or in one of its two processes; loaded when it is first needed. */
import type * as Launching from '../sandbox/launcher.js';
import type * as Discovering from './discovery.js';
import type * as Overlaying from './overlay.js';
import type * as PolicyFiles from './policy-files.js';
import type * as Replaying from './replay.js';
import type * as ServingHere from './serve-here.js';

/** As `onDemand` of ../on-demand.ts. */
export const onDemand = {
  get discovering(): typeof Discovering {
    return require('./discovery.js') as typeof Discovering;
  },
  /** Of the outer process of a sandbox. */
  get launching(): typeof Launching {
    return require('../sandbox/launcher.js') as typeof Launching;
  },
  get overlaying(): typeof Overlaying {
    return require('./overlay.js') as typeof Overlaying;
  },
  get policyFiles(): typeof PolicyFiles {
    return require('./policy-files.js') as typeof PolicyFiles;
  },
  get replaying(): typeof Replaying {
    return require('./replay.js') as typeof Replaying;
  },
  /** Of the process that serves. */
  get servingHere(): typeof ServingHere {
    return require('./serve-here.js') as typeof ServingHere;
  },
};
