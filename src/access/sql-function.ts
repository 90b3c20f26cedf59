/**
 * A function that the migrations install. The start-up proof compares the database with this text. A change here also needs a
 * migration; a test compares the two.
 */
export interface SqlFunction {
  /** As regprocedure prints it: only the types of the arguments. */
  readonly signature: string
  readonly arguments: string
  readonly returns: string
  readonly volatility: 'stable' | 'volatile'
  /** Runs with the rights of the owner, so every name in it is qualified and its search_path is pinned. */
  readonly definer: boolean
  readonly rows?: number
  readonly settings: readonly string[]
  readonly executableBy: readonly ('tenantry_app' | 'tenantry_system')[]
  readonly body: string
}

export const pinned = 'search_path=pg_catalog, pg_temp'
// If row security ever applies to the owner, the function fails instead of hiding rows.
export const unfiltered = 'row_security=off'

/** The statement in the migration that creates it. */
export function createFunction(fn: SqlFunction): string {
  const name = fn.signature.slice(0, fn.signature.indexOf('('))
  const traits = [
    'language plpgsql',
    fn.volatility,
    ...(fn.definer ? ['security definer'] : fn.volatility === 'stable' ? ['parallel safe'] : []),
    ...(fn.rows === undefined ? [] : [`rows ${fn.rows}`]),
    ...fn.settings.map((setting) => `set ${setting.replace('=', ' = ')}`),
  ]
  return `create function ${name}(${fn.arguments}) returns ${fn.returns}\n${traits.join(' ')} as $$${fn.body}$$;`
}
