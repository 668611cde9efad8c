/** Shell scripts that guests run in the share. They are given to the guest as files. */

/** Every operation that a shell can reach, each checked; prints `ok NAME` or `FAILED NAME` per check. */
export const BASIC_OPERATIONS = `
d=$1; mkdir $d && cd $d || exit 1
check() { name=$1; shift; if "$@" >/tmp/check.log 2>&1; then echo "ok $name"; else echo "FAILED $name"; cat /tmp/check.log; fi; }
is() { [ "$1" = "$2" ] || { echo "got '$1', expected '$2'"; false; }; }

echo hello >file
check read is "$(cat file)" hello
echo world >>file
check append is "$(cat file | tr '\\n' ' ')" 'hello world '
check 'open for reading and writing' sh -c 'exec 3<>file; read -r line <&3; [ "$line" = hello ] && echo WORLD >&3'
check 'written in place' is "$(tail -n 1 file)" WORLD

mkdir -p a/b/c && echo deep >a/b/c/file
check 'rename file' mv file renamed
check 'renamed file has its content' is "$(head -n 1 renamed)" hello
check 'old name is gone' test ! -e file
check 'rename over a file' sh -c 'echo new >over.new; echo old >over; mv over.new over; [ "$(cat over)" = new ]'
check 'rename directory' mv a/b a/moved
check 'path through the renamed directory' is "$(cat a/moved/c/file)" deep
check 'rename onto a directory that is not empty fails' sh -c 'mkdir -p x/y z; ! busybox mv -T z x'

check link ln renamed hard
check 'links count' is "$(stat -c %h renamed)" 2
check 'links share an inode' is "$(stat -c %i hard)" "$(stat -c %i renamed)"
check 'unlink one of two' sh -c 'rm hard && [ "$(stat -c %h renamed)" = 1 ]'
check symlink ln -s renamed soft
check readlink is "$(readlink soft)" renamed
check 'follow symlink' is "$(head -n 1 soft)" hello
check 'long symlink' sh -c 't=$(printf "%01000d" 7); ln -s $t long && [ "$(readlink long)" = $t ]'

check fifo sh -c 'mkfifo pipe && [ "$(stat -c %F pipe)" = fifo ]'
check 'fifo carries data' is "$(echo through >pipe & cat pipe)" through
check chmod sh -c 'chmod 4751 renamed && [ "$(stat -c %a renamed)" = 4751 ]'
check umask sh -c 'umask 027; touch masked; mkdir maskedd; [ "$(stat -c %a masked maskedd | tr "\\n" " ")" = "640 750 " ]'
check touch sh -c 'touch -d "2001-02-03 04:05:06" renamed && [ "$(stat -c %Y renamed)" = "$(date -d "2001-02-03 04:05:06" +%s)" ]'
check access sh -c 'test -r renamed && test -x renamed'

check 'truncate down' sh -c 'echo 0123456789 >t; truncate -s 4 t; [ "$(cat t)" = 0123 ]'
check 'truncate up' sh -c 'truncate -s 100000 t; [ "$(stat -c %s t)" = 100000 ]'
check 'grown part is zero' sh -c '[ "$(tail -c +5 t | tr -d "\\000" | wc -c)" = 0 ]'
check fallocate sh -c 'fallocate -l 300000 space && [ "$(stat -c %s space)" = 300000 ] && [ "$(stat -c %b space)" -ge 586 ]'
check 'write behind a hole' sh -c 'dd if=/dev/zero of=hole bs=1 count=1 seek=5000000 2>/dev/null; [ "$(stat -c %s hole)" = 5000001 ]'
check 'hole takes no blocks' sh -c '[ "$(stat -c %b hole)" -lt 1000 ]'
check fsync dd if=/dev/zero of=synced bs=64k count=4 conv=fsync
check 'large write' sh -c 'head -c 9000001 /dev/urandom >/tmp/big; cp /tmp/big big; cmp /tmp/big big'

check 'many names' sh -c 'mkdir many; i=0; while [ $i -lt 2000 ]; do : >many/name-$i; i=$((i+1)); done; [ "$(ls many | wc -l)" = 2000 ]'
check 'each name once' is "$(ls many | sort -u | wc -l)" 2000
check 'remove many' sh -c 'rm -r many && test ! -e many'
check 'unlink while open' sh -c 'echo kept >open; exec 3<open 4>>open; rm open; echo more >&4; [ "$(cat <&3 | tr "\\n" " ")" = "kept more " ]'
check 'directory removed while inside' sh -c 'mkdir gone; cd gone; rmdir ../gone; ! touch file 2>/dev/null'
check 'rmdir of a full directory fails' sh -c '! rmdir a 2>/dev/null'
check 'missing file' sh -c '! cat missing 2>/dev/null'
check 'longest name' sh -c 'n=$(printf "%0255d" 1); : >$n && test -e $n && ! touch 0$n 2>/dev/null'
check 'odd names' sh -c 'echo x >"a b\\"c"; echo y >-dash; echo z >"$(printf "\\303\\244\\001")"; [ "$(cat "a b\\"c" ./-dash "$(printf "\\303\\244\\001")" | tr "\\n" " ")" = "x y z " ]'
check statfs sh -c '[ "$(stat -f -c %b .)" -gt 0 ] && [ "$(stat -f -c %s .)" -gt 0 ]'
check 'program runs from the share' sh -c 'cp /bin/busybox . && ./busybox true'
check 'program reads itself' sh -c '[ "$(./busybox sha256sum busybox | cut -c 1-64)" = "$(sha256sum /bin/busybox | cut -c 1-64)" ]'
check 'set-user-id survives' is "$(stat -c %a renamed)" 4751
check dotdot is "$(cd a/moved/c/../../.. && pwd)" $d
`;

/** What only root on the host can do. */
export const PRIVILEGED_OPERATIONS = `
cd $1 || exit 1
check() { name=$1; shift; if "$@" >/tmp/check.log 2>&1; then echo "ok $name"; else echo "FAILED $name"; cat /tmp/check.log; fi; }
check chown sh -c ': >owned; chown 1234:5678 owned && [ "$(stat -c %u:%g owned)" = 1234:5678 ]'
check 'chown clears set-user-id' sh -c 'chmod 4755 owned; chown 4321 owned; [ "$(stat -c %a owned)" = 755 ]'
check 'device node' sh -c 'mknod dev c 1 3 && [ "$(stat -c %t:%T dev)" = 1:3 ]'
check 'another user owns what he makes' sh -c 'mkdir -m 1777 shared; su user -c "touch shared/his"; [ "$(stat -c %u:%g shared/his)" = 1000:1000 ]'
check 'another user is refused' sh -c 'echo secret >mine; chmod 600 mine; ! su user -c "cat mine" 2>/dev/null'
check 'sticky directory' sh -c 'touch shared/ours; ! su user -c "rm -f shared/ours" 2>/dev/null'
`;

/** The check that both scripts make before they say that all went well. */
export function failedChecks(output: string): string[] {
  const lines = output.split('\n');
  return lines.filter(
    (line, index) => line.startsWith('FAILED') || (index > 0 && /^FAILED/.test(lines[index - 1] ?? '')),
  );
}

/** Every failed check with all that it printed. */
export function failures(output: string): string {
  const lines = output.split('\n');
  let failed = false;
  const kept = lines.filter((line) => {
    if (/^(ok|FAILED) /.test(line)) failed = line.startsWith('FAILED');
    return failed;
  });
  return kept.join('\n').trim();
}

/** How many checks a script reported as good. */
export function passedChecks(output: string): number {
  return output.split('\n').filter((line) => line.startsWith('ok ')).length;
}

/** How many checks a script makes. */
export function countChecks(script: string): number {
  return script.split('\n').filter((line) => line.startsWith('check ')).length;
}

/** Unpacks the archive in the share and in the guest's memory, and compares the two after a fresh mount. */
export function unpackAndCompare(archive: string, directory: string, tag: string): string {
  return `
set -e
mkdir /tmp/original ${directory}
tar -x -f /files/${archive} -C /tmp/original
tar -x -f /files/${archive} -C ${directory}
umount /mnt
mount -t virtiofs '${tag}' /mnt
diff -r /tmp/original ${directory}
find ${directory} -type f | wc -l
`;
}

/** Works until somebody ends it: what a guest does when it is killed in the middle. */
export function endlessWork(directory: string): string {
  return `
mkdir ${directory}
cd ${directory}
i=0
while true; do
  i=$((i+1))
  mkdir d$i
  for j in 0 1 2 3 4 5 6 7 8 9; do head -c 20000 /dev/urandom >d$i/f$j; done
  cat d$i/* >/dev/null
  mv d$i/f0 d$i/renamed
  [ $((i % 2)) = 0 ] && rm -r d$i
done
`;
}
