/** What a part of SQL text is. A word is a keyword or a name without quotes; an escaped name is one with U& in front. */
export type TokenKind = 'word' | 'name' | 'escaped name' | 'literal' | 'number' | 'parameter' | 'symbol'

/**
 * Splits SQL text into tokens as Postgres does with standard_conforming_strings on. Comments and white space are skipped. The time
 * is linear in the length of the text.
 */
export class SqlTokens {
  kind: TokenKind = 'symbol'
  /** Where the token begins, and where the next one can begin. */
  start = 0
  end = 0
  /** Whether the text ended inside a literal, a quoted name or a comment. No token follows. */
  isCut = false

  constructor(readonly sql: string) {}

  /** A word in lower case, a name without its quotes, anything else as it stands. */
  get text(): string {
    const text = this.sql.slice(this.start, this.end)
    if (this.kind === 'word') return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    return this.kind === 'name' ? text.slice(1, -1).replaceAll('""', '"') : text
  }

  /** Moves to the next token; false when there is none. */
  next(): boolean {
    this.skipBlanks()
    this.start = this.end
    this.kind = 'symbol'
    if (this.isCut || this.start >= this.sql.length) return false
    this.kind = this.scan(this.sql.charCodeAt(this.start))
    return !this.isCut
  }

  /** Whether the token is this sign. */
  isSymbol(sign: string): boolean {
    return this.kind === 'symbol' && this.sql[this.start] === sign
  }

  private scan(code: number): TokenKind {
    switch (classOf(code)) {
      case letter:
        return this.word(code)
      case digit:
        // With letters right behind it, which the server refuses.
        this.end = afterRun(this.sql, this.start, digit | letter)
        return 'number'
      case singleQuote:
        return this.quoted(this.start + 1, false)
      case doubleQuote:
        return this.name(this.start + 1, 'name')
      case dollar:
        return this.dollar()
      default:
        this.end = this.start + 1
        return 'symbol'
    }
  }

  /** A word, or the literal or name that it is the prefix of, directly before the quote. */
  private word(code: number): TokenKind {
    const { sql, start } = this
    this.end = afterRun(sql, start, letter | digit | dollar)
    if (this.end > start + 1) return 'word'
    const prefix = String.fromCharCode(code).toLowerCase()
    const quote = sql[start + 1]
    if (quote === "'" && 'ebxn'.includes(prefix)) return this.quoted(start + 2, prefix === 'e')
    if (prefix !== 'u' || quote !== '&') return 'word'
    if (sql[start + 2] === "'") return this.quoted(start + 3, false)
    return sql[start + 2] === '"' ? this.name(start + 3, 'escaped name') : 'word'
  }

  /** Scans from after the opening quote. A literal continues after a line break, with the same meaning of a backslash. */
  private quoted(from: number, hasEscapes: boolean): TokenKind {
    const { sql } = this
    let at = from
    for (;;) {
      at = hasEscapes ? nextQuote(sql, at) : sql.indexOf("'", at)
      if (at === -1) return this.cut('literal')
      at++
      if (sql[at] !== "'") {
        const next = continuation(sql, at)
        if (next === undefined) break
        at = next
      }
      at++
    }
    this.end = at
    return 'literal'
  }

  private name(from: number, kind: TokenKind): TokenKind {
    const { sql } = this
    for (let at = sql.indexOf('"', from); at !== -1; at = sql.indexOf('"', at + 2)) {
      if (sql[at + 1] === '"') continue
      this.end = at + 1
      return kind
    }
    return this.cut(kind)
  }

  /** A parameter, a literal between two tags, or the sign by itself. */
  private dollar(): TokenKind {
    const { sql, start } = this
    if (classOf(sql.charCodeAt(start + 1)) === digit) {
      this.end = afterRun(sql, start + 1, digit)
      return 'parameter'
    }
    const isTag = classOf(sql.charCodeAt(start + 1)) === letter
    const tagEnd = isTag ? afterRun(sql, start + 1, letter | digit) : start + 1
    if (sql[tagEnd] !== '$') {
      this.end = start + 1
      return 'symbol'
    }
    const tag = sql.slice(start, tagEnd + 1)
    const close = sql.indexOf(tag, tagEnd + 1)
    if (close === -1) return this.cut('literal')
    this.end = close + tag.length
    return 'literal'
  }

  private skipBlanks(): void {
    const { sql } = this
    for (;;) {
      this.end = afterBlanks(sql, this.end)
      if (sql[this.end] !== '/' || sql[this.end + 1] !== '*') return
      this.skipComment()
      if (this.isCut) return
    }
  }

  /** Block comments nest. */
  private skipComment(): void {
    bracket.lastIndex = this.end + 2
    for (let depth = 1; depth > 0;) {
      const found = bracket.exec(this.sql)
      if (found === null) {
        this.cut('symbol')
        return
      }
      depth += found[0] === '/*' ? 1 : -1
    }
    this.end = bracket.lastIndex
  }

  private cut(kind: TokenKind): TokenKind {
    this.isCut = true
    this.end = this.sql.length
    return kind
  }
}

const bracket = /\/\*|\*\//g

const letter = 1
const digit = 2
const dollar = 4
const blank = 8
const singleQuote = 16
const doubleQuote = 32

const classes = new Uint8Array(128)
for (const [characters, its] of [
  ['abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_', letter],
  ['0123456789', digit],
  ['$', dollar],
  [' \t\n\r\f\v', blank],
  ["'", singleQuote],
  ['"', doubleQuote],
] as const) {
  for (const character of characters) classes[character.charCodeAt(0)] = its
}

/** Postgres takes everything beyond ASCII for a letter, even a no-break space. After the end of the text the class is 0. */
const classOf = (code: number): number => (code > 127 ? letter : (classes[code] ?? 0))

/** The position after the characters of these classes. */
function afterRun(sql: string, from: number, those: number): number {
  let at = from
  while (at < sql.length && (classOf(sql.charCodeAt(at)) & those) !== 0) at++
  return at
}

/** The position after white space and line comments. */
function afterBlanks(sql: string, from: number): number {
  let at = from
  for (;;) {
    at = afterRun(sql, at, blank)
    if (sql[at] !== '-' || sql[at + 1] !== '-') return at
    while (at < sql.length && !isLineBreak(sql.charCodeAt(at))) at++
  }
}

const isLineBreak = (code: number): boolean => code === 10 || code === 13

/** The quote that ends a literal with escapes: a backslash takes the next character with it. */
function nextQuote(sql: string, from: number): number {
  for (let at = from; at < sql.length; at++) {
    const character = sql[at]
    if (character === "'") return at
    if (character === '\\') at++
  }
  return -1
}

/** The position of the quote where the literal continues, after only white space, a line break and line comments. */
function continuation(sql: string, from: number): number | undefined {
  const at = afterBlanks(sql, from)
  if (sql[at] !== "'") return undefined
  for (let place = from; place < at; place++) if (isLineBreak(sql.charCodeAt(place))) return at
  return undefined
}
