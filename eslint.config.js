import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {ignores: ['dist/', 'node_modules/']},
  tseslint.configs.strictTypeChecked,
  prettier,
  {
    languageOptions: {
      parserOptions: {
        project: './test/tsconfig.json',
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true, allowBoolean: true}],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', {considerDefaultExhaustiveForUnions: true}],
      eqeqeq: ['error', 'always', {null: 'ignore'}],
      'no-console': 'error',
    },
  },
  {files: ['**/*.js', '**/*.cjs'], extends: [tseslint.configs.disableTypeChecked]},
  {files: ['**/*.cjs', 'bin/*.js'], rules: {'@typescript-eslint/no-require-imports': 'off'}},
  {
    // mocha's `this` carries the time limit and skip()
    files: ['test/**/*.ts'],
    rules: {'no-console': 'off'},
  },
  {
    files: ['test/**/*.test.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        {
          name: 'after',
          message: 'It also runs when before() was skipped: use made() of test/support/made.ts.',
        },
      ],
    },
  },
);
