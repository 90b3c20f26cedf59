import type pg from 'pg'
import { InvalidInputError } from '../core/errors.js'

/**
 * Settings that make answers readable, whatever the server and its roles are set to: ISO dates, and UTC, because old local times have
 * offsets with seconds, which JavaScript cannot parse.
 */
export const readerSettings = {
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  // Enough digits to read the same number again.
  extra_float_digits: '1',
  // Without it NULL in an array would be a text.
  array_nulls: 'on',
  // The proof reads names that the server prints.
  quote_all_identifiers: 'off',
}

/** The settings of these that the server reports when they change. */
export const reportedSettings = [
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'client_encoding',
  'standard_conforming_strings',
] as const

/** All of them, those that it does not report included. */
export const settingNames = [...reportedSettings, 'extra_float_digits', 'array_nulls'] as const

export type Settings = Readonly<Record<(typeof settingNames)[number], string>>

/** Tells why values cannot be read or sent safely with these settings; undefined if they can. */
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
 * Sends the settings in the startup message, never by SET: behind a transaction pooler SET would change somebody else's connection.
 * A transaction pooler refuses even this. There the timeouts are set on the login (`alter role ... set statement_timeout`).
 */
export function poolConfig(config: pg.PoolConfig, isPooled: boolean): pg.PoolConfig {
  return {
    application_name: 'tenantry',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    ...(isPooled ? {} : timeouts),
    ...config,
    ...(isPooled ? {} : { options: [config.options, session].filter(Boolean).join(' ') }),
    // pg's own client-side timeout gives the busy connection back to the pool, where the next caller would wait behind it.
    query_timeout: undefined,
    pipeline: false,
  }
}

const form = 'must look like postgres://user:password@host:5432/database'

/** Refuses a url that pg would misread, or refuse with the password in its error. `name` is where the url was given. */
export function assertUrl(name: string, url: unknown): asserts url is string {
  if (typeof url !== 'string') throw new InvalidInputError(name, form)
  if (url.trim() === '') throw new InvalidInputError(name, `is empty; it ${form}`)
  const [, scheme] = /^([a-z][a-z0-9+.-]*):/i.exec(url) ?? []
  // pg would take any scheme for postgres.
  if (scheme !== undefined && !/^postgres(?:ql)?:\/\//i.test(url)) {
    throw new InvalidInputError(name, `has a scheme other than postgres or postgresql; it ${form}`)
  }
  // pg would take other text for the path of a url whose host is `base`.
  if ((scheme === undefined && !url.startsWith('/')) || !isUrl(url)) throw new InvalidInputError(name, form)
}

/** As pg reads it: a url, a path of a socket, or a url without a host. */
function isUrl(url: string): boolean {
  const spaced = url.replaceAll(' ', '%20')
  return spaced.startsWith('/') || [spaced, spaced.replace('@/', '@host/')].some((one) => URL.canParse(one, base))
}

const base = 'postgres://base'

/** `?pgbouncer=true`, as in the urls of Prisma and Supabase. */
export const saysPooled = ({ connectionString = '' }: pg.PoolConfig): boolean =>
  /[?&]pgbouncer=true\b/.test(connectionString)
