# Jobs of `npm run bench:guest`, in a guest, inside the Debian tree on the share:
#   bash jobs.sh prepare|run|clean JOB DIRECTORY
# `prepare` makes what the job works on, `run` is timed, `clean` removes what it made. Whatever a job needs beside the share
# is in /tmp, in the guest's memory.
set -eu
phase=$1
job=$2
mkdir -p "$3"
cd "$3"
archive=/tmp/bench.tar
python=$(echo /usr/lib/python3.*)

has_archive() { [ -e $archive ] || tar cf $archive -C "$python" json email unittest asyncio; }
has_repository() {
  [ -e repository ] && return
  git init -q repository
  cp -r "$python"/{json,email,unittest,asyncio} repository/
  git -C repository add -A
  git -C repository -c user.name=Guest -c user.email=guest@example.org commit -q -m Files
}

case $job-$phase in
  find-run) find /usr -xdev -printf '%s\n' >/dev/null ;;

  tar-create-run) tar cf - -C / "${python#/}" | cat >/dev/null ;;

  tar-extract-prepare) has_archive ;;
  tar-extract-run) mkdir extracted && tar xf $archive -C extracted ;;
  tar-extract-clean) rm -r extracted ;;

  remove-prepare) has_archive && mkdir removed && tar xf $archive -C removed ;;
  remove-run) rm -r removed ;;

  git-status-prepare) has_repository ;;
  git-status-run) git -c safe.directory='*' -C repository status --porcelain ;;

  git-clone-prepare) has_repository ;;
  git-clone-run) git -c safe.directory='*' clone -q --no-hardlinks repository clone ;;
  git-clone-clean) rm -rf clone ;;

  sqlite-run)
    {
      echo 'create table t(a integer primary key, b text);'
      for i in $(seq 60); do echo "insert into t(b) values (hex(randomblob(200)));"; done
      echo 'select count(*) from t where b like "%7%";'
    } | sqlite3 database >/dev/null
    ;;
  sqlite-clean) rm -f database* ;;

  write-run) dd if=/dev/zero of=big bs=1M count=32 conv=fsync status=none ;;
  write-clean) rm -f big ;;

  read-prepare) dd if=/dev/zero of=big bs=1M count=32 status=none ;;
  read-run) dd if=big of=/dev/null bs=1M status=none ;;
  read-clean) rm -f big ;;

  fio-prepare) command -v fio >/dev/null || { echo 'the guest has no fio' && exit 3; } ;;
  fio-run)
    fio --name=bench --directory=. --rw=randrw --bs=4k --size=16m --time_based --runtime=2 --output-format=terse >/dev/null
    ;;
  fio-clean) rm -f bench* ;;

  *-prepare | *-clean) ;;
  *) echo "no job $job" && exit 2 ;;
esac
