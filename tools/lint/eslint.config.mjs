// Type-checked linting of the library, its tests and the demo, and plain linting of the scripts. Formatting is
// prettier's business, not eslint's.
import path from 'node:path';
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const ROOT = path.resolve(import.meta.dirname, '../..');
const TYPESCRIPT = ['**/*.ts'];
const NODE_GLOBALS = [
  'process',
  'console',
  'performance',
  'Buffer',
  'URL',
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
];
/** A longer one needs a reason, in an eslint-disable comment at the function. */
const FUNCTION_LINES = { max: 70, IIFEs: true };

export default tseslint.config(
  {
    ignores: [
      'dist/**',
      'build/**',
      'build-*/**',
      '.cache/**',
      '**/node_modules/**',
      'tools/**',
      '**/*.cjs',
      '**/*.d.ts',
    ],
  },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: { eqeqeq: 'error', 'max-lines-per-function': ['error', FUNCTION_LINES] },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: { globals: Object.fromEntries(NODE_GLOBALS.map((name) => [name, 'readonly'])) },
  },
  {
    // CommonJS, as most tests with jest are.
    files: ['examples/**/*.js'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: Object.fromEntries(NODE_GLOBALS.map((name) => [name, 'readonly'])),
    },
  },
  {
    files: TYPESCRIPT,
    extends: tseslint.configs.recommendedTypeChecked,
    languageOptions: {
      parserOptions: { project: ['tsconfig.json', 'tsconfig.test.json'], tsconfigRootDir: ROOT },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // `import x = require('…')` is how a CommonJS function module is imported with types.
      '@typescript-eslint/no-require-imports': 'off',
      // An interface returns promises although one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // The body of a `describe` is a list of tests, not one function.
    files: ['test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off' },
  },
);
