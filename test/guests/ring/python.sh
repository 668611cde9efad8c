. "${0%/*}/lib.sh"
cp -r /usr/lib/python3*/json /usr/lib/python3*/logging "$scratch/"
find "$scratch" -name __pycache__ -prune -exec rm -r {} +
cp -r "$scratch/json" "$scratch/logging" .
check 'compile modules' python3 -m compileall -q json logging
check 'each has a compiled file' is "$(find . -name '*.pyc' | wc -l)" "$(find . -name '*.py' | wc -l)"
check 'import them from here' is "$(python3 -c 'import json.tool, sys; print(json.__file__)')" "$PWD/json/__init__.py"
check 'a changed module is compiled again' sh_ 'echo "mark = 1" >>json/scanner.py; python3 -c "import json.scanner; assert json.scanner.mark == 1"'
check 'a module made now is found' sh_ 'python3 -c "import importlib, pathlib; pathlib.Path(\"fresh.py\").write_text(\"x = 5\"); importlib.invalidate_caches(); import fresh; assert fresh.x == 5"'
check 'temporary files, copies, trees, archives, mappings' env TMPDIR="$PWD" python3 "$here/library.py"
check 'nothing is left behind' is "$(find . -name 'tmp*')" ''
check 'a package as an archive' sh_ 'mkdir app; echo "print(6 * 7)" >app/__main__.py; python3 -m zipapp app; [ "$(python3 app.pyz)" = 42 ]'
