. "${0%/*}/lib.sh"
# 25 transactions of 20 rows each.
insert() {
  for turn in $(seq 1 25); do
    echo "begin immediate;
      with recursive n(x) as (select 1 union all select x + 1 from n where x < 20)
      insert into t(who, what) select '$1', hex(randomblob(200)) from n;
      commit;"
  done >"$scratch/$1.sql"
  exec sqlite3 -batch -bail -cmd '.timeout 60000' "$2" <"$scratch/$1.sql"
}
export scratch
export -f insert

check 'a database in WAL mode' is "$(sqlite3 wal.db 'pragma journal_mode = wal')" wal
check 'a table with an index' sqlite3 wal.db 'create table t(id integer primary key, who text, what text); create index i on t(what)'
check 'two processes write at once' sh_ 'insert one wal.db & one=$!; insert two wal.db & two=$!; wait $one; wait $two'
check 'nothing is lost' is "$(sqlite3 wal.db "select who, count(*) from t group by who" | tr '\n' ' ')" 'one|500 two|500 '
check 'integrity' is "$(sqlite3 wal.db 'pragma integrity_check')" ok
check 'a reader keeps its view while another writes' sh_ '
  mkfifo gate
  { echo "begin; select count(*) from t;"; read -r _ <gate; echo "select count(*) from t; commit; select count(*) from t;"; } |
    sqlite3 -batch wal.db >seen & reader=$!
  until [ -s seen ]; do sleep 0.1; kill -0 $reader; done
  sqlite3 wal.db "insert into t(who) values (3)"
  echo go >gate
  wait $reader
  [ "$(tr "\n" " " <seen)" = "1000 1000 1001 " ]'
check 'a process that is killed leaves a whole database' sh_ '
  insert killed wal.db & writer=$!
  sleep 0.5
  kill -9 $writer || true
  wait $writer || true
  [ "$(sqlite3 -cmd ".timeout 60000" wal.db "pragma integrity_check")" = ok ]'
check 'checkpoint' sh_ 'sqlite3 wal.db "pragma wal_checkpoint(truncate)" | grep "^0|"; [ ! -s wal.db-wal ]'
check 'files beside it are removed at the end' sh_ 'ls; [ ! -e wal.db-wal ] && [ ! -e wal.db-shm ]'
check 'back to a rollback journal' is "$(sqlite3 wal.db 'pragma journal_mode = delete')" delete
check 'two processes write with it' sh_ 'insert one wal.db & one=$!; insert two wal.db & two=$!; wait $one; wait $two'
check 'integrity with it' is "$(sqlite3 wal.db 'pragma integrity_check')" ok
check 'memory-mapped reads' is "$(sqlite3 wal.db 'pragma mmap_size = 100000000; select count(*) >= 2001 from t' | tail -n 1)" 1
check 'vacuum' sh_ 'sqlite3 wal.db "delete from t where id % 2; vacuum"; [ "$(sqlite3 wal.db "pragma integrity_check")" = ok ]'
check 'backup' sh_ 'sqlite3 wal.db ".backup copy.db"; [ "$(sqlite3 copy.db .dump | sha256sum)" = "$(sqlite3 wal.db .dump | sha256sum)" ]'
