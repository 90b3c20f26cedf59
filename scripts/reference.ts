import ts from 'typescript'
import { builtInRoles, permissionCatalog } from '../src/schema/built-in-roles.js'
import { commentOf, exportsOf } from './doc-comments.js'

/** Methods with names that need no explanation. Every other public method needs a doc comment. */
const obvious =
  /^(id|ping|count|exists|find|get|list|create|update|changeRole|activate|reactivate|pause|enable|disable|findBy[A-Z]\w*)$/

const flags = (ts.TypeFormatFlags.NoTruncation |
  ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope) as ts.TypeFormatFlags
/** `ListOptions<Agent>`, of which the compiler writes out every field of the filter, in an order that changes. */
const listOptions =
  /\(\{ (?:readonly \w+\?: FieldFilter<[^;]*>; )+\} & \{ readonly and\?: [^}]*\} & PageOptions<(\w+)>((?: & PageContent<Name, Total>)?)\) \| undefined/
/** `options?: Options | undefined` contains undefined twice. */
const optionalUndefined = /(\?: (?:[^,();<>{}]|<[^();]*>|\{[^}]*\})+?) \| undefined(?=[,;)])/g

const heading = 'Generated from the types by `npx tsx scripts/documents.ts --write`.'

export interface Reference {
  /** The text of each page, by its name in docs/reference. */
  readonly pages: ReadonlyMap<string, string>
  /** Public names without a doc comment. */
  readonly faults: readonly string[]
}

/** The pages of docs/reference: every public method and every error, with the first sentence of its doc comment. */
export function referenceOf(program: ts.Program, root: string): Reference {
  const reader = new Reader(program, root)
  const pages = new Map([
    ['README.md', page('Reference', contents)],
    [
      'tenancy.md',
      page('The tenancy and the organization', [
        '## openTenancy',
        ...reader.functionLines('src/index.ts', 'openTenancy'),
        '## openEmbeddedTenancy',
        ...reader.functionLines('src/testing/index.ts', 'openEmbeddedTenancy'),
        '## tenancy',
        ...reader.classLines('Tenancy', 'tenancy', 'tenancy.md'),
        ...reader.partSections('Tenancy', 'tenancy'),
        '## org',
        ...reader.classLines('Org', 'org', 'repositories.md'),
      ]),
    ],
    ['repositories.md', page('Repositories', [batchable, ...reader.partSections('Org', 'org')])],
    [
      'user.md',
      page('A person', [
        '## user',
        ...reader.classLines('User', 'user', 'user.md'),
        ...reader.partSections('User', 'user'),
      ]),
    ],
    [
      'system.md',
      page('Operations across organizations', [
        '## system',
        ...reader.classLines('System', 'system', 'system.md'),
        ...reader.partSections('System', 'system'),
      ]),
    ],
    [
      'requests.md',
      page('Requests and answers', [
        '## tenantry',
        ...['readRequest', 'problemOf', 'rateLimitHeaders'].flatMap((name) =>
          reader.functionLines('src/index.ts', name),
        ),
        '## tenantry/hono',
        ...['authenticated', 'signedIn', 'anyone', 'problems'].flatMap((name) =>
          reader.functionLines('src/hono.ts', name),
        ),
      ]),
    ],
    [
      'options.md',
      page(
        'Options',
        options.flatMap(({ from, names }) => reader.optionSections(from, names)),
      ),
    ],
    [
      'testing.md',
      page('Test data', [
        '## tenantry/testing',
        ...['newOrg', 'addMember', 'asMember', 'factories', 'createOrganization', 'createUser'].flatMap((name) =>
          reader.functionLines('src/testing/index.ts', name),
        ),
        '## factories(org)',
        ...reader.classLines('Factories', 'factories', 'testing.md', 'src/testing/index.ts'),
      ]),
    ],
    ['errors.md', page('Errors', [errorsIntroduction, reader.errorTable()])],
    ['permissions.md', page('Permissions and built-in roles', [permissionsIntroduction, permissionLines()])],
  ])
  return { pages, faults: reader.faults }
}

const contents = [
  [
    '- [The tenancy and the organization](tenancy.md): `openTenancy`, `tenancy`, `org`',
    '- [Repositories](repositories.md): the methods of `org.agents`, `org.projects.disk` and the others',
    '- [A person](user.md): what `tenancy.forUser(id)` gives',
    '- [Operations across organizations](system.md): what `tenancy.system({ actor, reason })` gives',
    '- [Requests and answers](requests.md): `readRequest`, `problemOf`, and the middlewares of `tenantry/hono`',
    '- [Test data](testing.md): `newOrg`, `asMember` and `factories` of `tenantry/testing`',
    '- [Options](options.md): what `openTenancy`, `forOrg`, `transaction`, `claim` and others take',
    '- [Errors](errors.md): their codes and HTTP statuses',
    '- [Permissions and built-in roles](permissions.md): which role has which',
  ].join('\n'),
]
const permissionsIntroduction =
  'A scope with an actor asks for `<repository>:read` or `<repository>:write` before each call. `owner` has every permission, those of your config too.'

/** A line for each permission of the library, with the built-in roles that have it. */
function permissionLines(): string {
  const rows = Object.entries(permissionCatalog).map(([key, description]) => {
    const holders = builtInRoles.filter(({ permissions }) => permissions.some((held) => held === key))
    return `- \`${key}\`: ${description}. ${holders.map((role) => role.key).join(', ')}`
  })
  return rows.join('\n')
}

/** The types of arguments, by the module that exports them. */
const options = [
  { from: 'src/index.ts', names: ['TenancyOptions', 'OwnTables', 'OrgOptions', 'Actor', 'RequestContext'] },
  { from: 'src/index.ts', names: ['TransactionOptions', 'UpdateOptions'] },
  { from: 'src/core/statements/pages.ts', names: ['PageOptions'] },
  { from: 'src/repositories/tasks.ts', names: ['ClaimOptions', 'Lease', 'HeartbeatOptions', 'Completion', 'Failure'] },
  { from: 'src/repositories/schedules.ts', names: ['DueOptions'] },
  { from: 'src/operations/claim-fairly.ts', names: ['FairClaimOptions', 'RequeueOptions'] },
  {
    from: 'src/operations/fire-due-schedules.ts',
    names: ['FireDueOptions', 'FiredSchedule', 'UnfiredSchedule', 'FiredSchedules'],
  },
  { from: 'src/index.ts', names: ['ReadRequestOptions', 'IncomingRequest', 'ProblemOptions', 'Problem'] },
  { from: 'src/hono.ts', names: ['AuthenticationOptions', 'ProblemsOptions'] },
  { from: 'src/index.ts', names: ['FlagCacheOptions', 'EvaluationOptions', 'FlagEvaluation'] },
  { from: 'src/operations/maintenance.ts', names: ['MaintenanceOptions', 'MaintenanceProgress', 'Maintained'] },
  { from: 'src/operations/partition-alarm.ts', names: ['PartitionAlarm'] },
  { from: 'src/testing/index.ts', names: ['EmbeddedTenancy', 'NewOrgOptions'] },
]
const batchable =
  'What returns a `Query` is one statement: it can be awaited, and it can be sent by `org.batch` with others.'
const errorsIntroduction =
  'Each is a `TenantryError`. `code` never changes, and `status` is the HTTP status that a handler would answer with.'

const page = (title: string, parts: readonly string[]): string => `${[`# ${title}`, heading, ...parts].join('\n\n')}\n`

/** Private names, such as `#end`, have a name of the compiler's own. */
const isNamed = ({ escapedName }: ts.Symbol): boolean => !escapedName.toString().startsWith('__#')

/** Where a member is found: the class that has it, how it is called, and the page of its sections. */
interface Place {
  readonly owner: string
  readonly path: string
  readonly at: string
}

class Reader {
  readonly faults: string[] = []
  private readonly checker: ts.TypeChecker
  private readonly exported: ReadonlyMap<string, ts.Symbol>

  constructor(
    private readonly program: ts.Program,
    private readonly root: string,
  ) {
    this.checker = program.getTypeChecker()
    this.exported = this.exportsOf('src/index.ts')
  }

  functionLines(from: string, name: string): string[] {
    return [this.methodLine(name, this.export(name, from))]
  }

  /** One section for each type: its doc comment, and its properties with their whole comments, which name the defaults. */
  optionSections(from: string, names: readonly string[]): string[] {
    return names.flatMap((name) => {
      const symbol = this.export(name, from)
      const properties = this.checker.getPropertiesOfType(this.checker.getDeclaredTypeOfSymbol(symbol)).filter(isNamed)
      const comment = this.comment(symbol)
      const lines = properties.map((property) => this.optionLine(property)).join('\n')
      return [`## ${name}`, ...(comment === '' ? [] : [comment]), lines]
    })
  }

  /** The doc comment of the class, and its public members. Its parts are only listed: they have sections of their own on `at`. */
  classLines(name: string, path: string, at: string, from?: string): string[] {
    const symbol = this.export(name, from)
    const type = this.checker.getDeclaredTypeOfSymbol(symbol)
    return [this.sentenceOfClass(symbol), this.memberLines(type, path, at)]
  }

  /** One section for each getter of the class that returns another class, and for the getters of that one. */
  partSections(name: string, path: string): string[] {
    return this.sectionsOf(this.checker.getDeclaredTypeOfSymbol(this.export(name)), path)
  }

  private sectionsOf(whole: ts.Type, path: string): string[] {
    return this.publicMembers(whole).flatMap((getter) => {
      const part = this.partOf(getter)
      if (part === undefined) return []
      const place = `${path}.${getter.name}`
      return [
        `## ${place}`,
        this.sentenceOfClass(part.symbol),
        this.memberLines(part, place, ''),
        ...this.sectionsOf(part, place),
      ]
    })
  }

  private memberLines(type: ts.Type, path: string, at: string): string {
    return this.publicMembers(type)
      .map((member) => this.memberLine({ owner: type.symbol.name, path, at }, member))
      .join('\n')
  }

  errorTable(): string {
    const rows = [...this.exported.values()].flatMap((symbol) => {
      const type = this.checker.getDeclaredTypeOfSymbol(symbol)
      const [code, status] = ['code', 'status'].map((name) => this.literal(type, name))
      if (code === undefined || status === undefined) return []
      return [{ name: symbol.name, code, status, sentence: this.sentenceOfClass(symbol) }]
    })
    return rows
      .map(({ name, code, status, sentence }) => `- \`${name}\` (\`${code}\`, ${status}): ${sentence}`)
      .join('\n')
  }

  private optionLine(property: ts.Symbol): string {
    const isOptional = (property.flags & ts.SymbolFlags.Optional) !== 0
    const { valueDeclaration } = property
    // As it is written where it is declared: the compiler writes some names of types out.
    const written =
      valueDeclaration && ts.isPropertySignature(valueDeclaration) ? valueDeclaration.type?.getText() : undefined
    const shown = (
      written ?? this.checker.typeToString(this.checker.getTypeOfSymbol(property), undefined, flags)
    ).replace(/ \| undefined$/, '')
    const comment = this.comment(property)
    return `- \`${property.name}${isOptional ? '?' : ''}: ${shown}\`${comment === '' ? '' : `: ${comment}`}`
  }

  private memberLine({ owner, path, at }: Place, member: ts.Symbol): string {
    const part = this.partOf(member)
    if (part === undefined) return this.methodLine(owner, member)
    const anchor = `${path}.${member.name}`.replaceAll('.', '').toLowerCase()
    return `- [\`${member.name}\`](${at}#${anchor}): ${this.sentence(member) ?? this.sentenceOfClass(part.symbol)}`
  }

  private methodLine(owner: string, symbol: ts.Symbol): string {
    const type = this.checker.getTypeOfSymbol(symbol)
    // The plainest of several: what `include` adds stands in docs/lists.md.
    const [shown = `: ${this.checker.typeToString(type, symbol.valueDeclaration, flags)}`] = type
      .getCallSignatures()
      .map((signature) => this.signature(signature, symbol))
      .sort((one, other) => one.length - other.length)
    const sentence = this.sentence(symbol)
    if (sentence === undefined && !obvious.test(symbol.name)) {
      this.faults.push(`${owner}.${symbol.name} is public and has no doc comment`)
    }
    return `- \`${symbol.name}${shown}\`${sentence === undefined ? '' : `: ${sentence}`}`
  }

  private signature(signature: ts.Signature, symbol: ts.Symbol): string {
    return this.checker
      .signatureToString(signature, symbol.valueDeclaration, flags)
      .replace(optionalUndefined, '$1')
      .replace(listOptions, 'ListOptions<$1>$2')
  }

  private sentenceOfClass(symbol: ts.Symbol): string {
    const sentence = this.sentence(symbol)
    if (sentence === undefined) this.faults.push(`${symbol.name} is public and has no doc comment`)
    return sentence ?? ''
  }

  private sentence(symbol: ts.Symbol): string | undefined {
    const text = this.comment(symbol)
    // A colon before code also ends the sentence: the code is an example.
    const [first = text] = /^.*?(?:[.!?](?=$| [A-Z`])|:(?= `))/.exec(text) ?? []
    if (first === '') return undefined
    return first.replace(/:$/, '.')
  }

  private comment(symbol: ts.Symbol): string {
    return commentOf(symbol, this.checker)
  }

  private publicMembers(type: ts.Type): ts.Symbol[] {
    const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
    return this.checker
      .getPropertiesOfType(type)
      .filter(isNamed)
      .filter(({ declarations = [] }) => declarations.every((one) => (ts.getCombinedModifierFlags(one) & hidden) === 0))
  }

  /** The class that a getter or a field returns: a repository, or another part. */
  private partOf(member: ts.Symbol): ts.Type | undefined {
    if ((member.flags & (ts.SymbolFlags.Accessor | ts.SymbolFlags.Property)) === 0) return undefined
    const type = this.checker.getTypeOfSymbol(member)
    return (type.getSymbol()?.flags ?? 0) & ts.SymbolFlags.Class ? type : undefined
  }

  private literal(type: ts.Type, name: string): string | undefined {
    const property = type.getProperty(name)
    const found = property && this.checker.getTypeOfSymbol(property)
    return found?.isStringLiteral() || found?.isNumberLiteral() ? String(found.value) : undefined
  }

  private export(name: string, from = 'src/index.ts'): ts.Symbol {
    const symbol = this.exportsOf(from).get(name)
    if (symbol === undefined) throw new Error(`${from} does not export ${name}`)
    return symbol
  }

  private exportsOf(path: string): ReadonlyMap<string, ts.Symbol> {
    return exportsOf(this.program, `${this.root}/${path}`)
  }
}
