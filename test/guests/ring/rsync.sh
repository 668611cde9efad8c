. "${0%/*}/lib.sh"
# On the guest's own ext4, which has every kind of attribute.
source=/srv/rsync-source
mkdir "$source"
cp -a /etc /usr/lib/python3*/json "$source/"
mkdir "$source/special"
ln "$source/etc/passwd" "$source/special/hard-1"
ln "$source/etc/passwd" "$source/special/hard-2"
ln -s hard-1 "$source/special/symlink"
mkfifo "$source/special/fifo"
mknod "$source/special/device" b 7 200
head -c 3000000 /dev/urandom >"$source/special/big"
touch -d '1999-12-31 23:59:59.123456789' "$source/special/big"
touch "$source/special/$(printf 'name\377')"
chown 4321:8765 "$source/special/big"
chmod 6711 "$source/special/big"
setfattr -n user.one -v 1 "$source/special/big" "$source/special"
setfattr -n trusted.two -v 2 "$source/etc/passwd"
setfacl -m u:1000:rw,g:2000:r "$source/special/big"
setfacl -m d:u:1000:rwx "$source/special"
export source options='-aHAX --numeric-ids'
differences() { rsync $options -n -c --itemize-changes --delete "$1/" "$2/"; }
listing() { (cd "$1" && find . -printf '%p %y %m %U:%G %n %T@ %l\n' | sort); }

check 'copy to the share' rsync $options "$source/" copy/
check 'rsync finds no difference' is "$(differences "$source" copy)" ''
check 'modes, owners, links and times are equal' is "$(listing copy)" "$(listing $source)"
lists() { (cd "$1" && find special ! -type l -print0 | sort -z | xargs -0 getfacl -n); }
check 'access control lists are equal' is "$(lists copy)" "$(lists $source)"
check 'extended attributes are equal' is "$(cd copy; getfattr -h -R -d -m '^(user|trusted)' . | sort)" "$(cd $source; getfattr -h -R -d -m '^(user|trusted)' . | sort)"
check 'a change is carried over' sh_ 'echo x >>$source/json/tool.py; setfattr -n user.three -v 3 $source/json; rm -r $source/etc/apt; rsync $options --delete $source/ copy/'
check 'again no difference' is "$(differences "$source" copy)" ''
check 'in place, and only what changed' sh_ 'printf changed | dd of=$source/special/big conv=notrunc seek=1000 bs=1; rsync $options --inplace --no-whole-file $source/ copy/; cmp $source/special/big copy/special/big'
check 'from the share to the share, unchanged files as links' sh_ 'rsync $options --link-dest=$PWD/copy copy/ second/; [ "$(stat -c %i copy/special/big)" = "$(stat -c %i second/special/big)" ]'
check 'back from the share' sh_ 'rsync $options second/ /srv/rsync-back/'
check 'and it is what it was' is "$(differences "$source" /srv/rsync-back)" ''
