. "${0%/*}/lib.sh"
# On the guest's own ext4: a tree with all that an archive can hold.
source=/srv/tar-source
mkdir "$source"
cp -a /usr/include/linux /etc "$source/"
mkdir "$source/deep"
ln "$source/etc/passwd" "$source/deep/hard-link"
ln -s ../etc/passwd "$source/deep/symlink"
mkfifo -m 640 "$source/deep/fifo"
mknod "$source/deep/device" c 1 3
truncate -s 5M "$source/deep/sparse"
echo end >>"$source/deep/sparse"
touch -d '2001-02-03 04:05:06.789' "$source/deep/symlink" -h
touch "$source/deep/$(printf 'name\377\376')"
echo odd >"$source/deep/new
line"
chown 1234:5678 "$source/etc/hostname"
chmod 4755 "$source/etc/hostname"
setfattr -n user.note -v text "$source/etc/fstab" "$source/deep"
setfattr -n trusted.note -h -v text "$source/deep/symlink"
setfacl -m u:1000:rwx,d:g:2000:r "$source/deep"
options='--xattrs --xattrs-include=* --acls --numeric-owner -S'
# In the order of names: which of two hard links an archive calls the file depends on the order.
tar $options --sort=name -C "$source" -cf "$scratch/source.tar" .
archived() { tar -tvf "$1" --full-time --numeric-owner | sort -k 6; }

mkdir out
check 'unpack on the share' tar $options -xpf "$scratch/source.tar" -C out
check 'tar finds no difference' sh_ "tar $options -df $scratch/source.tar -C out"
check 'the contents are equal' sh_ "diff -r --no-dereference --exclude=fifo --exclude=device $source out"
check 'the hard link is one' is "$(stat -c %i out/deep/hard-link)" "$(stat -c %i out/etc/passwd)"
check 'the sparse file is sparse' sh_ '[ "$(stat -c %s out/deep/sparse)" = 5242884 ]; [ "$(du -k out/deep/sparse | cut -f 1)" -lt 200 ]'
check 'owner and set-user-id' is "$(stat -c %u:%g:%a out/etc/hostname)" 1234:5678:4755
check 'extended attributes' is "$(cd out; getfattr -h -R -d -m '^(user|trusted)' . | sort)" "$(cd $source; getfattr -h -R -d -m '^(user|trusted)' . | sort)"
lists() { (cd "$1" && find deep ! -type l -print0 | sort -z | xargs -0 getfacl -n); }
check 'access control lists' is "$(lists out)" "$(lists $source)"
check 'pack on the share' tar $options --sort=name -C out -cf again.tar .
check 'the same archive comes out' is "$(archived again.tar)" "$(archived $scratch/source.tar)"
check 'compress and test' sh_ 'xz -0 -k again.tar; xz -t again.tar.xz; xz -dc again.tar.xz | cmp - again.tar'
check 'unpack from the share to the share' sh_ 'mkdir third; tar -xJf again.tar.xz -C third; diff -r --no-dereference --exclude=fifo --exclude=device out third'
check 'unpack over what is there' sh_ "tar $options -xpf again.tar -C out; tar $options -df again.tar -C out"
check 'remove all' sh_ 'rm -r out third; ! ls out'
