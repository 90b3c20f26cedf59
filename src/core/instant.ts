const zero = 0x30
const millisecondsOfDay = 86_400_000

const digits = (text: string, at: number): number => (text.charCodeAt(at) - zero) * 10 + text.charCodeAt(at + 1) - zero

/** The server's ISO text of an instant, such as `2026-11-20 23:07:01.123456+00`. What is less than a millisecond is left out. */
export function readInstant(text: string): Date {
  const isBefore = text.charCodeAt(text.length - 1) === 0x43
  const end = isBefore ? text.length - 3 : text.length
  // Four digits of a year, and UTC at the end, as nearly every text has them: twice as fast as Date reads it.
  if (end >= 22 && end <= 29 && text.charCodeAt(4) === 0x2d && isUtc(text, end)) {
    const year = digits(text, 0) * 100 + digits(text, 2)
    // The year 1 follows upon the year 1 before Christ.
    const days = daysUntil(isBefore ? 1 - year : year, digits(text, 5), digits(text, 8))
    const seconds = digits(text, 11) * 3_600 + digits(text, 14) * 60 + digits(text, 17)
    return new Date(days * millisecondsOfDay + seconds * 1_000 + millisecondsIn(text, end - 3))
  }
  if (!text.startsWith('00') || isBefore) return new Date(text)
  // Date takes a year below 100 for one of the 1900s.
  const [day = '', time = ''] = text.split(' ')
  return new Date(`${day}T${/[+-]\d\d$/.test(time) ? `${time}:00` : time}`)
}

/** Whether `+00` stands in front of that place. */
const isUtc = (text: string, end: number): boolean => text.charCodeAt(end - 3) === 0x2b && digits(text, end - 2) === 0

/** The first three digits of the fraction that ends there. */
function millisecondsIn(text: string, end: number): number {
  let milliseconds = 0
  for (let at = 20; at < 23; at++) milliseconds = milliseconds * 10 + (at < end ? text.charCodeAt(at) - zero : 0)
  return milliseconds
}

/**
 * From the first day of 1970. Years are counted from March, so that the day that only some years have is their last, and in rounds of
 * 400 years, which all have as many days.
 */
function daysUntil(year: number, month: number, day: number): number {
  const fromMarch = month > 2 ? year : year - 1
  const round = Math.floor(fromMarch / 400)
  const yearOfRound = fromMarch - round * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const leapDays = Math.floor(yearOfRound / 4) - Math.floor(yearOfRound / 100)
  return round * 146_097 + yearOfRound * 365 + leapDays + dayOfYear - 719_468
}
