// Drizzle is the root's copy, and looks for postgres.js at the root. It is here.
import { register } from 'node:module'

const here = JSON.stringify(import.meta.url)
const hook = `export const resolve = (name, context, next) =>
  next(name, name === 'postgres' ? { ...context, parentURL: ${here} } : context)`
register(`data:text/javascript,${encodeURIComponent(hook)}`)
