"""Every operation of a file system, checked in one directory: prints a line `group/name: result` per check.

    python3 test/guests/checks DIRECTORY [group ...]

Two file systems behave the same if they make it print the same. Needs root (other users take part), and Python's
standard library only.
"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import framework  # noqa: E402

for file in sorted(os.listdir(os.path.dirname(os.path.abspath(__file__)))):
    if file.startswith('check_') and file.endswith('.py'):
        __import__(file.removesuffix('.py'))


def main():
    arguments = sys.argv[1:]
    if arguments == ['--list']:
        for group, checks in framework.GROUPS.items():
            print(*(f'{group}/{name}' for name in checks), sep='\n')
        return
    directory, groups = os.path.abspath(arguments[0]), arguments[1:]
    for group in groups or framework.GROUPS:
        framework.run_group(group, directory)


main()
