import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'drizzle', 'coverage', 'test/fixtures', 'examples/*/**', 'bench/peers'] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', { max: 400, skipBlankLines: true }],
      eqeqeq: 'error',
      // Row types are interfaces without members of their own: an interface keeps its name in an editor.
      '@typescript-eslint/no-empty-object-type': ['error', { allowInterfaces: 'with-single-extends' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `query<Row>(text)` names what the SQL gives, which no argument can tell.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      // Its mend is the assertion that the rule above refuses.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      // By syntax, because the rule for naming conventions asks the type checker and is slow.
      'no-restricted-syntax': [
        'error',
        {
          selector:
            ':matches(ClassDeclaration, TSInterfaceDeclaration, TSTypeAliasDeclaration)[id.name=/^I[A-Z][a-z]|(Manager|Service|Model|Dto)$/]',
          message: 'A name says what a thing is. This one says that nobody knew.',
        },
      ],
    },
  },
  {
    // A library tells its caller; only commands talk to a terminal.
    files: ['src/**'],
    ignores: ['src/cli/**'],
    rules: { 'no-console': 'error' },
  },
  {
    files: ['**/*.js'],
    extends: [tseslint.configs.disableTypeChecked],
  },
)
