/** ascii_casefold: names are found whatever the case of their ASCII letters. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { FUSE_ROOT_ID } from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance } from './support/harness.js';

conformance(
  'names in another case',
  (current) => {
    test('the exact name first, then another spelling, the first in byte order', async () => {
      const { guest, share } = current();
      for (const name of ['Readme', 'readme', 'Other', 'ÄHNLICH']) fs.writeFileSync(`${share}/${name}`, name);
      expect(await guest.fs.readFile('/readme', 'utf8')).toBe('readme');
      expect(await guest.fs.readFile('/Readme', 'utf8')).toBe('Readme');
      expect(await guest.fs.readFile('/README', 'utf8')).toBe('Readme');
      expect(await guest.fs.readFile('/oTHER', 'utf8')).toBe('Other');
      await expectErrno('ENOENT', () => guest.fs.readFile('/ähnlich'));
      await expectErrno('ENOENT', () => guest.fs.readFile('/missing'));
    });

    test('it is one inode under every spelling, at every level', async () => {
      const { guest, share } = current();
      fs.mkdirSync(`${share}/Dir/Sub`, { recursive: true });
      fs.writeFileSync(`${share}/Dir/Sub/File`, 'x');
      const { ino } = await guest.fs.lstat('/Dir/Sub/File');
      expect((await guest.fs.lstat('/dir/SUB/file')).ino).toBe(ino);
    });

    test('creating what is there under another spelling finds it', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/File`, 'old');
      fs.mkdirSync(`${share}/Dir`);
      await guest.fs.writeFile('/FILE', 'new');
      await expectErrno('EEXIST', () => guest.fs.mkdir('/DIR'));
      await expectErrno('EEXIST', () => guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_EXCL));
      await expectErrno('EEXIST', () => guest.fs.symlink('x', '/file'));
      expect(fs.readdirSync(share).sort()).toEqual(['Dir', 'File']);
      expect(fs.readFileSync(`${share}/File`, 'utf8')).toBe('new');
    });

    test('removing and renaming work by any spelling, and what the guest did is seen at once', async () => {
      const { guest, share } = current();
      for (const name of ['One', 'Two']) fs.writeFileSync(`${share}/${name}`, name);
      fs.mkdirSync(`${share}/Dir`);
      await guest.fs.lstat('/ONE'); // the listing is remembered from here on
      await guest.fs.unlink('/one');
      await expectErrno('ENOENT', () => guest.fs.lstat('/ONE'));
      await guest.fs.rename('/TWO', '/Three');
      await expectErrno('ENOENT', () => guest.fs.lstat('/two'));
      expect(await guest.fs.readFile('/THREE', 'utf8')).toBe('Two');
      await guest.fs.rmdir('/DIR');
      await guest.fs.writeFile('/New', 'x');
      expect(await guest.fs.readFile('/nEW', 'utf8')).toBe('x');
      expect(fs.readdirSync(share).sort()).toEqual(['New', 'Three']);
    });

    test('a file can be given another spelling', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/name`, 'x');
      await guest.fs.rename('/name', '/NAME');
      expect(fs.readdirSync(share)).toEqual(['NAME']);
    });
  },
  {},
  { asciiCasefold: true },
);
