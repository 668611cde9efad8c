"""What Python's library does with files, in TMPDIR."""
import fcntl
import filecmp
import mmap
import multiprocessing
import os
import pathlib
import pickle
import shutil
import sqlite3
import subprocess
import tempfile
import zipfile

with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name)

    with tempfile.TemporaryFile() as file:
        file.write(b'unnamed')
        file.seek(0)
        assert file.read() == b'unnamed'
    with tempfile.NamedTemporaryFile(dir=root) as file:
        assert os.stat(file.name).st_mode & 0o777 == 0o600
    with tempfile.SpooledTemporaryFile(max_size=10, dir=root) as file:
        file.write(b'x' * 100)
        file.seek(50)
        assert len(file.read()) == 50

    source = root / 'source'
    (source / 'sub' / 'deeper').mkdir(parents=True)
    (source / 'file').write_bytes(os.urandom(3_000_000))
    (source / 'sub' / 'link').symlink_to('../file')
    (source / 'sub' / 'deeper' / 'ä').write_text('text')
    os.utime(source / 'file', ns=(10**18, 10**18 + 7))
    os.chmod(source / 'file', 0o640)
    shutil.copytree(source, root / 'copy', symlinks=True)
    assert not filecmp.dircmp(source, root / 'copy').diff_files
    assert filecmp.cmp(source / 'file', root / 'copy' / 'file', shallow=False)
    assert (root / 'copy' / 'file').stat().st_mtime_ns == 10**18 + 7
    assert (root / 'copy' / 'sub' / 'link').readlink() == pathlib.Path('../file')
    archive = shutil.make_archive(str(root / 'archive'), 'gztar', source)
    shutil.unpack_archive(archive, root / 'unpacked')
    assert filecmp.cmp(source / 'file', root / 'unpacked' / 'file', shallow=False)
    with zipfile.ZipFile(root / 'a.zip', 'w', zipfile.ZIP_DEFLATED) as pack:
        pack.write(source / 'file', 'file')
    assert zipfile.ZipFile(root / 'a.zip').testzip() is None
    shutil.move(root / 'copy', root / 'moved')
    assert sorted(path.name for path in (root / 'moved').rglob('*')) == ['deeper', 'file', 'link', 'sub', 'ä']
    shutil.rmtree(root / 'moved')
    assert not (root / 'moved').exists()

    with open(root / 'mapped', 'w+b') as file:
        file.truncate(1 << 20)
        with mmap.mmap(file.fileno(), 0) as memory:
            memory[500_000:500_006] = b'mapped'
            memory.flush()
            assert memory.find(b'mapped') == 500_000
            file.seek(500_000)
            assert file.read(6) == b'mapped'
            memory.resize(2 << 20)
            memory[-4:] = b'last'
    assert (root / 'mapped').read_bytes()[-4:] == b'last'

    with open(root / 'pickle', 'wb') as file:
        pickle.dump(list(range(100_000)), file)
    with open(root / 'pickle', 'rb') as file:
        assert pickle.load(file)[-1] == 99_999

    def count(path):
        for _ in range(20):
            with open(path, 'r+') as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                value = int(file.read() or 0)
                file.seek(0)
                file.write(str(value + 1))
                file.flush()

    (root / 'counter').write_text('0')
    workers = [multiprocessing.get_context('fork').Process(target=count, args=(root / 'counter',)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (root / 'counter').read_text() == '40', (root / 'counter').read_text()

    with sqlite3.connect(root / 'db') as database:
        database.execute('create table t(x)')
        database.executemany('insert into t values (?)', ((number,) for number in range(1000)))
    assert sqlite3.connect(root / 'db').execute('select sum(x) from t').fetchone() == (499_500,)

    script = root / 'script'
    script.write_text('#!/bin/sh\necho "$1"\n')
    script.chmod(0o755)
    assert subprocess.run([script, 'ran'], capture_output=True, text=True).stdout == 'ran\n'
