. "${0%/*}/lib.sh"
# The lower directory is on the guest's own ext4, the upper one and the work directory are on the share.
lower=/srv/overlay-lower
mkdir -p "$lower/kept" "$lower/removed/sub" "$lower/replaced" upper work merged
echo lower >"$lower/file"
echo other >"$lower/other"
echo gone >"$lower/gone"
echo in >"$lower/kept/in"
echo old >"$lower/replaced/old"
head -c 1000000 /dev/urandom >"$lower/big"
setfattr -n user.note -v text "$lower/big"
export lower options="lowerdir=$lower,upperdir=$PWD/upper,workdir=$PWD/work"
before=$(dmesg | wc -l)

check mount mount -t overlay overlay -o "$options" merged
check 'the kernel has no reservations about the upper directory' is "$(dmesg | tail -n +$((before + 1)) | grep -E 'overlayfs.*(xattr|RENAME_WHITEOUT|d_type|read-only|readonly)')" ''
check 'it can be written' sh_ 'grep " $PWD/merged overlay rw" /proc/mounts'
check 'a new file is made in the upper directory' sh_ 'echo new >merged/new; [ "$(cat upper/new)" = new ]; [ ! -e $lower/new ]'
check 'a write copies up' sh_ 'echo more >>merged/file; [ "$(cat merged/file)" = "lower
more" ]; [ "$(cat $lower/file)" = lower ]'
check 'a changed mode copies up, with content and attributes' sh_ 'chmod 600 merged/big; cmp upper/big $lower/big; [ "$(getfattr --only-values -n user.note merged/big)" = text ]'
check 'removal leaves a whiteout' sh_ 'rm merged/gone; [ ! -e merged/gone ]; [ "$(stat -c %F:%t:%T upper/gone)" = "character special file:0:0" ]'
check 'removal of a directory leaves one too' sh_ 'rm -r merged/removed; [ ! -e merged/removed ]; [ -c upper/removed ]'
check 'what was removed can be made again' sh_ 'echo again >merged/gone; [ "$(cat merged/gone)" = again ]; [ -f upper/gone ]'
check 'a directory in the place of a removed one is opaque' sh_ 'rm -r merged/replaced; mkdir merged/replaced; [ -z "$(ls merged/replaced)" ]; [ "$(getfattr --only-values -n trusted.overlay.opaque upper/replaced)" = y ]'
check 'rename of a file of the lower directory' sh_ 'mv merged/other merged/renamed; [ "$(cat merged/renamed)" = other ]; [ -c upper/other ]; [ ! -e merged/other ]'
check 'rename of a directory' sh_ 'mv merged/kept merged/moved; [ "$(cat merged/moved/in)" = in ]; [ ! -e merged/kept ]'
check 'rename over a file of the lower directory' sh_ 'echo over >merged/over; mv merged/over merged/file; [ "$(cat merged/file)" = over ]'
check 'hard links' sh_ 'ln merged/new merged/link; [ "$(stat -c %h merged/new)" = 2 ]; echo both >merged/link; [ "$(cat merged/new)" = both ]'
check 'a mapping and a lock' sh_ 'python3 -c "
import fcntl, mmap
with open(\"merged/big\", \"r+b\") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    memory = mmap.mmap(file.fileno(), 0)
    memory[0:4] = b\"MAPS\"
    memory.flush()
"; [ "$(head -c 4 merged/big)" = MAPS ]'
# Longer than the guest remembers a name: what was copied up is looked up again.
check 'what was copied up is still there later' sh_ 'sleep 2; cat merged/big >/dev/null; stat merged/file; echo over >merged/later; mv merged/later merged/file; [ "$(cat merged/file)" = over ]'
check 'each name once' is "$(ls -A merged | tr '\n' ' ')" 'big file gone link moved new renamed replaced '
check unmount umount merged
check 'mount again' mount -t overlay overlay -o "$options" merged
check 'everything is as it was' is "$(ls -A merged | tr '\n' ' ')$(cat merged/file merged/gone merged/renamed merged/moved/in | tr '\n' ' ')" 'big file gone link moved new renamed replaced over again other in '
check 'the replaced directory is still empty' is "$(ls -A merged/replaced)" ''
check 'all can be removed' sh_ 'rm -r merged/*; [ -z "$(ls -A merged)" ]'
check 'unmount again' umount merged
