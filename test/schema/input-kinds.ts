/** What one kind of input takes and refuses, as the tests know it: written out here, not taken from the schemas. */
export interface Kind {
  readonly good: readonly unknown[]
  readonly bad: readonly unknown[]
  /** What becomes of a good value; itself unless said otherwise. */
  readonly outcome?: (value: unknown) => unknown
}

const deepJson = (levels: number): object => {
  let value = {}
  for (let level = 1; level < levels; level += 1) value = { value }
  return value
}

const unstorable = ['a\0b', '\ud800', 'a\udc00b']
const noText = [7, true, {}, ['x']]
const noNumber = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, '1', '', true, {}]

export const text = (max: number): Kind => ({
  good: ['', 'Zoë 🜁\n', 'x'.repeat(max)],
  bad: ['x'.repeat(max + 1), ...unstorable, ...noText],
})

export const label = (max = 200): Kind => ({
  good: ['Zoë 🜁', 'x'.repeat(max)],
  bad: ['', ' \t\n', 'x'.repeat(max + 1), ...unstorable, ...noText],
})

export const secret: Kind = {
  good: [' p@ss word ', 'x'.repeat(8192)],
  bad: ['', 'x'.repeat(8193), ...unstorable, ...noText],
}

export const slug: Kind = {
  good: ['a', 'a-b-1', 'x'.repeat(63)],
  bad: ['', 'A', 'ä', '-a', 'a-', 'a--b', 'a_b', 'a\n', 'x'.repeat(64), ...noText],
}

export const key: Kind = {
  good: ['a', 'tier_free', 'x'.repeat(63)],
  bad: ['', 'A', '_a', '9a', 'a-b', 'a\n', '__proto__', 'x'.repeat(64), ...noText],
}

export const ref: Kind = {
  good: ['abc', 'default', '0a-', 'x'.repeat(40)],
  bad: ['', 'ab', '-ab', 'Abc', 'a_b', 'abc\n', 'x'.repeat(41), ...noText],
}

const uuidText = '0199a5f0-0000-7000-8000-00000000abcd'
export const uuid: Kind = {
  good: [uuidText, uuidText.toUpperCase()],
  bad: ['', 'x', `{${uuidText}}`, `${uuidText}\n`, uuidText.replaceAll('-', ''), 7, [uuidText], {}],
  outcome: (value) => String(value).toLowerCase(),
}

export const instant: Kind = {
  good: [
    new Date(0),
    new Date('0001-01-01T00:00:00Z'),
    '2026-01-31T12:00:00Z',
    '2026-03-29T02:30:00+01:00',
    '9999-12-31T23:59:59.999Z',
  ],
  bad: [
    new Date(Number.NaN),
    new Date('+010000-01-01T00:00:00Z'),
    new Date('-000001-12-31T00:00:00Z'),
    '2026-01-31',
    '2026-01-31T12:00:00',
    '2026-02-30T12:00:00Z',
    '2026-01-31T24:00:00Z',
    'yesterday',
    'infinity',
    '',
    0,
    {},
  ],
  outcome: (value) => new Date(value as string | Date),
}

export const int = (min: number, max: number): Kind => ({
  good: [min, max],
  bad: [min - 1, max + 1, min + 0.5, `${min}`, ...noNumber],
})

export const float: Kind = { good: [0, -1.5, 1e300, 5e-324], bad: noNumber }

export const boolean: Kind = { good: [true, false], bad: ['true', 't', '', 0, 1, {}] }

/** Decimal text with so many digits before and after the point. */
export const decimal = (whole: number, places: number, range: 'any' | 'not negative' | 'positive'): Kind => {
  const zeros = ['0', '0.0', `0.${'0'.repeat(places)}`]
  const negatives = ['-1', '-0.25', `-${'9'.repeat(whole)}`]
  return {
    good: [
      '1',
      '12.5',
      `${'9'.repeat(whole)}.${'9'.repeat(places)}`,
      ...(range === 'positive' ? [] : zeros),
      ...(range === 'any' ? negatives : []),
    ],
    bad: [
      ...(range === 'positive' ? zeros : []),
      ...(range === 'any' ? [] : negatives),
      `1${'0'.repeat(whole)}`,
      `1.${'0'.repeat(places + 1)}`,
      ...['NaN', 'Infinity', '-Infinity', '1e3', '1E3', '0x1F', '1_000', '1,000', '1,5', '٣'],
      ...['', ' ', ' 7', '7 ', '7\n', '+7', '-', '.', '.5', '5.', '007', '1.2.3'],
      ...[7, 0.1, Number.NaN, 7n, true, {}, ['7']],
    ],
  }
}

export const money = decimal(12, 2, 'not negative')

export const words = (...all: readonly string[]): Kind => ({
  good: all,
  bad: ['', 'other', 'toString', ...all.flatMap((word) => [word.toUpperCase(), `${word} `]), 0, {}],
})

const matching = (good: string, ...bad: readonly unknown[]): Kind => ({ good: [good], bad: ['', ...bad, ...noText] })

export const currency = matching('EUR', 'eur', 'EU', 'EURO', 'E1R', 'EUR\n')
export const country = matching('DE', 'de', 'D', 'DEU', 'D1', 'DE\n')
export const lastFour = matching('0042', '42', '00042', '004x', '0042\n', '٠٠٤٢')
export const url = matching(
  'https://pay.example.com/i/1?lang=de',
  'pay.example.com',
  'javascript:alert(1)',
  'https://pay.example.com/\0',
  'https://pay.example.com/\ud800',
  `https://pay.example.com/${'x'.repeat(2048)}`,
)

export const jsonObject: Kind = {
  good: [{}, { a: [1, -0.5, null, true, { b: 'Zoë 🜁' }] }, deepJson(64)],
  bad: [
    ...[[], [{}], 'x', '{}', 7, true],
    ...[{ a: Number.NaN }, { a: Number.POSITIVE_INFINITY }, { a: 7n }, { a: () => 7 }, { a: Symbol('a') }],
    ...[{ a: new Date(0) }, { a: new Map() }, new Map(), new Date(0)],
    ...[{ a: 'a\0b' }, { a: ['\ud800'] }, { 'a\0b': 7 }],
    ...[deepJson(66), deepJson(100_000), { a: 'x'.repeat(1_048_577) }, { a: Array(1_048_577).fill(0) }],
  ],
}

/** An object with exactly these properties. */
export const objectOf = (properties: Readonly<Record<string, Kind>>, example: object): Kind => {
  const each = (values: (kind: Kind) => readonly unknown[]) =>
    Object.entries(properties).flatMap(([name, kind]) => values(kind).map((value) => ({ ...example, [name]: value })))
  return {
    good: each(({ good }) => good),
    bad: [...each(({ bad }) => [...bad, null, undefined]), { ...example, orgId: 'x' }, {}, null, 'x'],
  }
}

/** A list of at most so many items of one kind. `item` makes different ones, and not the kind's example first. */
export const list = (max: number, kind: Kind, item: (index: number) => unknown): Kind => {
  const items = (length: number) => Array.from({ length }, (_, index) => item(index))
  return {
    good: [[], items(2), items(max), ...kind.good.map((value) => [value])],
    bad: [items(max + 1), ...kind.bad.map((value) => [item(0), value]), item(0), { 0: item(0), length: 1 }, 'x'],
  }
}
