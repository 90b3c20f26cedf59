import pg from 'pg'

export const literal = (text: string): string => pg.escapeLiteral(text)

/** Whether the server checks constraint `k`. Before Postgres 18, whose catalog has the column, it checks every one. */
export const isEnforced = (constraint: string): string =>
  `coalesce((pg_catalog.to_jsonb(${constraint}) ->> 'conenforced')::boolean, true)`

/** The text of a function or a block, between marks that it does not contain. */
export function bodyOf(text: string): string {
  let mark = '$body$'
  for (let number = 1; text.includes(mark); number++) mark = `$body${number}$`
  return `${mark}\n${text.trim()}\n${mark}`
}
