import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SqlTokens } from '../../src/core/sql-tokens.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = new pg.Client({ connectionString: database.appUrl })
  await client.connect()
})

afterAll(() => client.end())

function read(text: string): { all: string[]; isCut: boolean } {
  const tokens = new SqlTokens(text)
  const all: string[] = []
  while (tokens.next()) all.push(`${tokens.kind} ${tokens.text}`)
  return { all, isCut: tokens.isCut }
}

const tokensOf = (text: string): string[] => read(text).all

test.each(["select 'a", "e'a\\'", '"a""', '$a$ $b$', "'a'\n'b", '/* /* */', 'U&"a'])('%j is cut', (text) => {
  expect(read(text).isCut).toBe(true)
})

test.each([
  ['Select "A""b" , $12', ['word select', 'name A"b', 'symbol ,', 'parameter $12']],
  ['a$1$b é1 _', ['word a$1$b', 'word é1', 'word _']],
  ["N'x' b'01' X'ff' q'z'", ["literal N'x'", "literal b'01'", "literal X'ff'", 'word q', "literal 'z'"]],
  ['U&"x" u&\'y\' u & "z"', ['escaped name U&"x"', "literal u&'y'", 'word u', 'symbol &', 'name z']],
  ["'a' 'b'", ["literal 'a'", "literal 'b'"]],
  ["'a' -- c\n 'b'", ["literal 'a' -- c\n 'b'"]],
  ["'a' /* c */\n 'b'", ["literal 'a'", "literal 'b'"]],
  ["e'\\' \\\\' 1.5e3", ["literal e'\\' \\\\'", 'number 1', 'symbol .', 'number 5e3']],
  ['$$a$b$ $$ $q$$$ $Q$ $q$ $é$x$é$', ['literal $$a$b$ $$', 'literal $q$$$ $Q$ $q$', 'literal $é$x$é$']],
  ['1$$x$$', ['number 1', 'literal $$x$$']],
  ['a-->b\n*/**/!--', ['word a', 'symbol *', 'symbol !']],
  ['KELVIN\u212a', ['word kelvin\u212a']],
])('%j is split into its tokens', (text, tokens) => {
  expect(tokensOf(text)).toEqual(tokens)
})

/** What makes a scanner go wrong. */
const nasty = [
  "'",
  '"',
  '\\',
  '$',
  '$$',
  '$a$',
  '--',
  '/*',
  '*/',
  '\n',
  '\r',
  ' ',
  ',',
  "E'",
  "U&'",
  'a',
  '1',
  ';',
  '😀',
  '\u00a0',
  '\ufeff',
]
const content = fc.array(fc.constantFrom(...nasty), { maxLength: 8 }).map((parts) => parts.join(''))
const doubled = (text: string) => text.replaceAll("'", "''")
const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")
const lineBreak = fc.constantFrom('\n', ' \n', '\r\t', "-- ' \n", "\n-- $a$ '\n ", ' --\r', '\n\n')

/** One literal in parts that go on behind line breaks, with its value. */
const literal = fc.oneof(
  fc
    .tuple(fc.constantFrom('', 'E', 'e', 'N'), fc.array(fc.tuple(content, lineBreak), { minLength: 1, maxLength: 3 }))
    .map(([prefix, parts]) => {
      const write = prefix.toLowerCase() === 'e' ? escaped : doubled
      const last = parts.length - 1
      const sql = parts.map(([text, gap], index) => `'${write(text)}'${index < last ? gap : ''}`).join('')
      return { sql: prefix + sql, value: parts.map(([text]) => text).join('') }
    }),
  fc
    .tuple(fc.constantFrom('$t$', '$$', '$é1$', '$T$'), content)
    .filter(([tag, text]) => !`${text}${tag.slice(0, -1)}`.includes(tag))
    .map(([tag, text]) => ({ sql: `${tag}${text}${tag}`, value: text })),
  content.map((text) => ({ sql: `u&'${doubled(text).replaceAll('\\', '\\\\')}'`, value: text })),
)
const blanks = fc.constantFrom(' ', '\n', "/* ' /* $a$ */ */", "-- '\n", '')

test('what is called a literal is one to the server, of any spelling', async () => {
  const item = fc.tuple(blanks, literal, blanks)
  for (const items of fc.sample(fc.array(item, { minLength: 100, maxLength: 100 }), { numRuns: 20, seed: 7 })) {
    const text = `select ${items.map(([before, { sql }, after]) => `${before}${sql}${after}`).join(',')}`
    const { rows } = await client.query<string[]>({ text, rowMode: 'array' })
    expect(rows[0]).toEqual(items.map(([, { value }]) => value))
    const found = tokensOf(text).filter((token) => token.startsWith('literal '))
    expect(found).toEqual(items.map(([, { sql }]) => `literal ${sql}`))
  }
})

test('a random text that the server accepts has as many columns as it has items between commas', async () => {
  const piece = fc.constantFrom(...nasty, "''", "E'", ',', "','", '/**/', "'\\'", '"a"', '1', "B'1'")
  const texts = fc.sample(fc.array(piece, { minLength: 1, maxLength: 9 }), { numRuns: 1_000, seed: 11 })
  let accepted = 0
  for (const parts of texts) {
    const text = `select 1 ${parts.join('')}`
    const { all: tokens, isCut } = read(text)
    const columns = await client.query({ text, queryMode: 'extended' } as pg.QueryConfig).then(
      ({ fields }) => fields.length,
      () => undefined,
    )
    if (columns === undefined) continue
    accepted++
    expect(isCut, text).toBe(false)
    expect(tokens.filter((token) => token === 'symbol ,').length + 1, text).toBe(columns)
  }
  expect(accepted).toBeGreaterThan(50)
})

test('a name called like a column is a call, so that a name is refused in every place', async () => {
  const { rows } = await client.query("select ('ABC'::text).lower as a, g.lower as b from unnest(array['X']) g")
  expect(rows).toEqual([{ a: 'abc', b: 'x' }])
})
