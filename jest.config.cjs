/** Runs the compiled tests of build/ts on the package as its users see it (`virtio-fs` resolves to dist/). */
module.exports = {
  rootDir: __dirname,
  roots: ['<rootDir>/build/ts/test'],
  testMatch: ['**/*.test.js'],
  testEnvironment: 'node',
  transform: {},
  // Two packages of one name in sight of jest-haste-map would be a warning: source builds leave copies behind.
  modulePathIgnorePatterns: ['<rootDir>/build-.*/', '<rootDir>/\\.cache/'],
  // A limit is for what hangs; a sanitizer makes what runs several times slower.
  testTimeout: process.env.VIRTIO_FS_SANITIZER === undefined ? 30_000 : 180_000,
  maxWorkers: 2,
  // Forces worker processes: a crash of the addon then fails one test file instead of ending the whole run unreported.
  workerIdleMemoryLimit: '1GB',
};
