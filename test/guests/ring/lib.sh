# For the scripts of this folder, which run in the Debian tree as `bash SCRIPT DIRECTORY`: checks that programs people use
# work in a directory on the share. Each check prints `ok NAME` or `FAILED NAME` and why; the number of lines that begin
# with `check ` is the number of results that are expected.
set -u
here=${0%/*}
scratch=$(mktemp -d)
mkdir -p "$1"
cd "$1" || exit 1

check() {
  name=$1
  shift
  if "$@" >"$scratch/log" 2>&1 </dev/null; then
    echo "ok $name"
  else
    echo "FAILED $name"
    tail -n 20 "$scratch/log"
  fi
}

# For checks with quotes, pipes and redirections in them.
sh_() { bash -e -o pipefail -c "$1"; }

is() {
  [ "$1" = "$2" ] || {
    echo "got '$1', expected '$2'"
    return 1
  }
}
