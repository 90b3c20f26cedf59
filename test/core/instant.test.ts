import { expect, test } from 'vitest'
import { readInstant } from '../../src/core/instant.js'

/** As Postgres writes it: without zeros at the end of the fraction. */
function written(time: number, microseconds: number): string {
  const [day = '', clock = ''] = new Date(time).toISOString().slice(0, 23).split('T')
  const fraction = `${clock.slice(9)}${String(microseconds).padStart(3, '0')}`.replace(/0+$/, '')
  return `${day} ${clock.slice(0, 8)}${fraction === '' ? '' : `.${fraction}`}+00`
}

test('300,000 instants from the year 1 to the year 9999 are read as Date reads them', () => {
  const first = Date.parse('0001-01-01T00:00:00Z')
  const last = Date.parse('9999-12-31T23:59:59.999Z')
  // A step that has no factor in common with a day, so that times and months are mixed.
  const step = Math.floor((last - first) / 300_000) - 7_919
  const wrong: string[] = []
  for (let time = first, index = 0; time <= last; time += step, index++) {
    const text = written(index % 3 === 0 ? Math.floor(time / 1_000) * 1_000 : time, index % 2 === 0 ? 0 : index % 1_000)
    const expected = Date.parse(`${text.slice(0, 10)}T${text.slice(11)}:00`)
    if (readInstant(text).getTime() !== expected) wrong.push(text)
  }
  expect(wrong).toEqual([])
})

test.each([
  ['2024-02-29 00:00:00+00', '2024-02-29T00:00:00.000Z'],
  ['2000-02-29 23:59:59.999999+00', '2000-02-29T23:59:59.999Z'],
  ['1900-03-01 00:00:00.1+00', '1900-03-01T00:00:00.100Z'],
  ['0099-12-31 12:00:00+00', '0099-12-31T12:00:00.000Z'],
  ['0099-12-31 12:00:00.5+05', '0099-12-31T07:00:00.500Z'],
  ['2026-07-01 12:34:56.789+05:30', '2026-07-01T07:04:56.789Z'],
  ['10000-01-01 00:00:00+00', '+010000-01-01T00:00:00.000Z'],
  ['0044-03-15 00:00:00+00 BC', '-000043-03-15T00:00:00.000Z'],
  ['0001-12-31 23:59:59.25+00 BC', '0000-12-31T23:59:59.250Z'],
  ['0045-02-29 00:00:00+00 BC', '-000044-02-29T00:00:00.000Z'],
  ['0044-03-15 00:00:00+05 BC', undefined],
  ['infinity', undefined],
])('%s is read as %s', (text, expected) => {
  const read = readInstant(text)
  if (expected === undefined) expect(read.getTime()).toBeNaN()
  else expect(read.toISOString()).toBe(expected)
})
