import type pg from 'pg'
import { InvalidInputError } from '../core/errors.js'

/**
 * Whatever the server and its roles are set to, answers read the same: ISO dates, and UTC, for an offset with seconds in it, as
 * old local times have, is no date to JavaScript.
 */
export const readerSettings = {
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  // Enough digits to read the same number again.
  extra_float_digits: '1',
  // Without it NULL in an array would be a text.
  array_nulls: 'on',
}

/** What an answer depends on, and the server reports whenever it changes. */
export const reportedSettings = [
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'client_encoding',
  'standard_conforming_strings',
] as const

/** With those that it does not report. */
export const settingNames = [...reportedSettings, 'extra_float_digits', 'array_nulls'] as const

export type Settings = Readonly<Record<(typeof settingNames)[number], string>>

/** Why values written with these settings could not be read or sent without doubt. */
export function unreadable(settings: Settings): string | undefined {
  if (!settings.DateStyle.startsWith('ISO'))
    return `the server writes dates as ${settings.DateStyle}; set DateStyle to ISO`
  if (settings.client_encoding !== 'UTF8')
    return `the server writes text as ${settings.client_encoding}; set client_encoding to UTF8`
  if (Number(settings.extra_float_digits) < 1)
    return 'the server rounds floating-point numbers; set extra_float_digits to 1'
  if (settings.array_nulls !== 'on') return 'the server reads NULL in an array as text; set array_nulls to on'
  return undefined
}

const session = Object.entries(readerSettings)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(' ')

const timeouts = {
  statement_timeout: 30_000,
  lock_timeout: 10_000,
  idle_in_transaction_session_timeout: 60_000,
}

/**
 * Everything is set as the connection starts, never by SET: through a transaction pooler that would be somebody else's setting.
 * A transaction pooler refuses even this; there the timeouts belong to the login (`alter role ... set statement_timeout`).
 */
export function poolConfig(config: pg.PoolConfig, isPooled: boolean): pg.PoolConfig {
  return {
    application_name: 'tenantry',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    ...(isPooled ? {} : timeouts),
    ...config,
    ...(isPooled ? {} : { options: [config.options, session].filter(Boolean).join(' ') }),
    // pg's own client-side timeout leaves the busy connection in the pool, where the next caller waits behind it.
    query_timeout: undefined,
    pipeline: false,
  }
}

const form = 'must look like postgres://user:password@host:5432/database'

/** Refuses what pg would read as something else, or refuse with the password in its error. `name` is where the url was given. */
export function assertUrl(name: string, url: unknown): asserts url is string {
  if (typeof url !== 'string') throw new InvalidInputError(name, form)
  if (url.trim() === '') throw new InvalidInputError(name, `is empty; it ${form}`)
  const [, scheme] = /^([a-z][a-z0-9+.-]*):/i.exec(url) ?? []
  // pg itself would speak the protocol of Postgres to any of them.
  if (scheme !== undefined && !/^postgres(?:ql)?:\/\//i.test(url)) {
    throw new InvalidInputError(name, `has another scheme than postgres or postgresql; it ${form}`)
  }
  if (!isUrl(url)) throw new InvalidInputError(name, form)
}

/** As pg reads it: a url, a path of a socket, or a url without a host. */
function isUrl(url: string): boolean {
  const spaced = url.replaceAll(' ', '%20')
  return spaced.startsWith('/') || [spaced, spaced.replace('@/', '@host/')].some((one) => URL.canParse(one, base))
}

const base = 'postgres://base'

/** As Prisma's and Supabase's urls say it. */
export const saysPooled = ({ connectionString = '' }: pg.PoolConfig): boolean =>
  /[?&]pgbouncer=true\b/.test(connectionString)
