module.exports = {
  rootDir: __dirname,
  testEnvironment: 'node',
  transform: {},
  // Some hundred machines are booted: a limit is for what hangs.
  testTimeout: 120_000,
};
