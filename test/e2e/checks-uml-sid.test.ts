import { describeChecks } from './checks-suite.js';

describeChecks('uml-sid');
// Everything cached, and no descriptor for what is known: the guest answers most by itself, and writes when it likes.
describeChecks('uml-sid', 'cache=always,timeout=3600,writeback,inode_file_handles=prefer');
