. "${0%/*}/lib.sh"
# The tree that this script runs in is the chroot: it lies on the share.
export DEBIAN_FRONTEND=noninteractive
check 'nothing is broken before' is "$(dpkg --audit)" ''
check 'apt reads its packages' apt-get update -qq
check 'apt installs a program and what it depends on' apt-get install -y -qq --no-install-recommends jq
check 'the program runs' is "$(echo '{"a":[1,2]}' | jq -c .a)" '[1,2]'
check 'dpkg knows all three' is "$(dpkg-query -W -f '${db:Status-Abbrev} ' jq libjq1 libonig5)" 'ii  ii  ii  '
check 'the files are those of the packages' is "$(dpkg --verify jq libjq1 libonig5)" ''
check 'nothing is broken after' is "$(dpkg --audit)" ''
check 'apt removes them' apt-get purge -y -qq jq libjq1 libonig5
check 'the files are gone' sh_ '! command -v jq; ! ls /usr/lib/x86_64-linux-gnu/libonig.so.5'
check 'dpkg installs files' sh_ 'cp /var/local/packages/*.deb .; dpkg -i ./*.deb'
check 'the program runs again' is "$(echo '[3]' | jq -c .)" '[3]'
check 'a package is unpacked' sh_ 'dpkg-deb -x jq_*.deb unpacked; cmp unpacked/usr/bin/jq /usr/bin/jq'
check 'a package is built' sh_ '
  mkdir -p mine/DEBIAN mine/usr/share/mine
  echo content >mine/usr/share/mine/file
  printf "Package: mine\nVersion: 1\nArchitecture: all\nMaintainer: Guest <guest@example.org>\nDescription: mine\n" >mine/DEBIAN/control
  dpkg-deb --root-owner-group -b mine mine.deb
  dpkg -i mine.deb
  [ "$(cat /usr/share/mine/file)" = content ]'
check 'and removed' sh_ 'dpkg -r mine; [ ! -e /usr/share/mine ]'
