// Months are counted from year 0, in UTC, so that the next one is always one more.

/** The number of a month, which is 1 for January. */
export const monthNumber = (year: number, month: number): number => year * 12 + month - 1

/** The name of a table's partition for that month: `audit_logs_2027_01`. */
export const partitionName = (table: string, month: number): string => [table, ...yearAndMonth(month)].join('_')

/** The first moment of that month, as Postgres writes it. */
export const firstDay = (month: number): string => `${yearAndMonth(month).join('-')}-01 00:00:00+00`

const yearAndMonth = (month: number): [year: string, month: string] => [
  String(Math.floor(month / 12)).padStart(4, '0'),
  String((month % 12) + 1).padStart(2, '0'),
]
