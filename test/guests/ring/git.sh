. "${0%/*}/lib.sh"
export GIT_CONFIG_GLOBAL=$scratch/gitconfig
cat >"$GIT_CONFIG_GLOBAL" <<'END'
[user]
  name = Guest
  email = guest@example.org
[init]
  defaultBranch = main
[safe]
  directory = *
[advice]
  detachedHead = false
END

# Its history is made outside the share: 3 commits of some 60 files.
origin=$scratch/origin
git init -q "$origin"
for part in json email; do
  cp -r /usr/lib/python3*/$part "$origin/"
  git -C "$origin" add -A
  git -C "$origin" commit -q -m "Add $part"
done
ln -s json/decoder.py "$origin/link"
chmod +x "$origin/json/tool.py"
git -C "$origin" add -A
git -C "$origin" commit -q -m 'Add a link and a mode'

check clone git clone -q "file://$origin" clone
check 'fsck of the clone' git -C clone fsck --full --strict
check 'status of the clone is clean' is "$(git -C clone status --porcelain)" ''
check 'every commit is there' is "$(git -C clone rev-parse HEAD)" "$(git -C "$origin" rev-parse HEAD)"
check 'the work tree is the original' diff -r --exclude=.git "$origin" clone
check 'a clone on the share by hard links' git clone -q --local clone second
check 'fsck of the second clone' git -C second fsck --full --strict
check 'a change is seen' sh_ 'echo changed >>clone/json/scanner.py; [ "$(git -C clone status --porcelain)" = " M json/scanner.py" ]'
check 'a change of the same size is seen' sh_ 'cd second; printf "#" | dd of=json/scanner.py conv=notrunc; ! git diff --quiet'
check 'a mode is seen' sh_ 'chmod +x clone/json/encoder.py; git -C clone diff --summary | grep "mode change 100644 => 100755 json/encoder.py"'
check commit git -C clone commit -q -a -m 'Change on the share'
check 'a branch and back' sh_ 'cd clone; git checkout -q -b old HEAD~3; [ ! -e email ]; git checkout -q main; [ -e email ]; [ -z "$(git status --porcelain)" ]'
check 'stash and take back' sh_ 'cd clone; echo x >>link; git stash -q; [ -z "$(git status --porcelain)" ]; git stash pop -q'
check 'reset to the last commit' git -C clone reset -q --hard
check 'push to a bare repository on the share' sh_ 'git init -q --bare bare.git; git -C clone push -q ../bare.git main'
check 'rebase' sh_ 'cd clone; git checkout -q old; echo note >note; git add note; git commit -q -m note; git rebase -q main; [ -e email ]'
check 'repack and prune' git -C clone gc -q --prune=now
check 'fsck after it' git -C clone fsck --full --strict
check 'fsck of the bare repository' git -C bare.git fsck --full --strict
check 'a work tree beside' sh_ 'cd clone; git worktree add -q ../beside main; [ -z "$(git -C ../beside status --porcelain)" ]'
