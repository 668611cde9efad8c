/** Sockets that systemd made before it started the command: sd_listen_fds(3). */

export interface ActivatedSocket {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit; empty if there is none. */
  readonly name: string;
}

/** LISTEN_PID for the process in the sandbox, whose number nobody knows before it is there. */
export const INNER_PROCESS = 'inner';

/** The first descriptor that is handed over (SD_LISTEN_FDS_START). */
const FIRST = 3;

/** More than any unit has; a number out of the environment is not believed blindly. */
const SOCKETS_MAX = 1024;

/** The sockets that are meant for this process; none if the variables are those of another, which was its parent. */
export function activatedSockets(environment: NodeJS.ProcessEnv, pid: number): ActivatedSocket[] {
  const { LISTEN_PID: forPid, LISTEN_FDS: count = '', LISTEN_FDNAMES: names = '' } = environment;
  const ours = forPid === String(pid) || forPid === INNER_PROCESS;
  if (!ours || !/^[0-9]+$/.test(count) || Number(count) > SOCKETS_MAX) return [];
  const list = names.split(':');
  return Array.from({ length: Number(count) }, (_, index) => ({ fd: FIRST + index, name: list[index] ?? '' }));
}
