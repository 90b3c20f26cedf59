import type pg from 'pg'

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

/** As Prisma's and Supabase's urls say it. */
export const saysPooled = ({ connectionString = '' }: pg.PoolConfig): boolean =>
  /[?&]pgbouncer=true\b/.test(connectionString)
