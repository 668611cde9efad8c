/**
 * What a device has only if it is asked for. It is loaded when it is first needed, so that a plain device starts without.
 * Types of these modules are imported as always; they cost nothing.
 */
import type * as ChildProcess from 'node:child_process';
import type * as AuditOptions from './observe/options.js';
import type * as Observing from './observe/observer.js';
import type * as Compiling from './policy/compile.js';
import type * as Attaching from './policy/handlers/attach.js';
import type * as Holding from './policy/held-policy.js';
import type * as RecordOptions from './record/options.js';
import type * as Recording from './record/recorder.js';
import type * as Mounting from './virtual/mounts.js';

/** `require` loads a module once; from then on it is a look into a table. */
export const onDemand = {
  get attaching(): typeof Attaching {
    return require('./policy/handlers/attach.js') as typeof Attaching;
  },
  get auditOptions(): typeof AuditOptions {
    return require('./observe/options.js') as typeof AuditOptions;
  },
  get childProcess(): typeof ChildProcess {
    return require('node:child_process') as typeof ChildProcess;
  },
  get compiling(): typeof Compiling {
    return require('./policy/compile.js') as typeof Compiling;
  },
  get holding(): typeof Holding {
    return require('./policy/held-policy.js') as typeof Holding;
  },
  get mounting(): typeof Mounting {
    return require('./virtual/mounts.js') as typeof Mounting;
  },
  get observing(): typeof Observing {
    return require('./observe/observer.js') as typeof Observing;
  },
  get recording(): typeof Recording {
    return require('./record/recorder.js') as typeof Recording;
  },
  get recordOptions(): typeof RecordOptions {
    return require('./record/options.js') as typeof RecordOptions;
  },
};
