/** One of the compared ways to do the work. `call` gets a number that no other call of the run has had. */
export interface Variant {
  readonly name: string
  call(round: number): Promise<unknown>
}

export interface Measured {
  readonly name: string
  /** Microseconds per call, or calls per second: the median over the rounds. */
  readonly median: number
  /** Relative to the first variant: the median of the ratios of the rounds. */
  readonly ratio: number
  /** The first and the third quartile of that ratio. */
  readonly spread: readonly [number, number]
}

export interface Rounds {
  readonly rounds: number
  readonly calls: number
  /** Rounds before the first that counts. */
  readonly warmUp: number
}

/** Microseconds per call, one call after another. In every round the variants run in another order. */
export async function latency(variants: readonly Variant[], { rounds, calls, warmUp }: Rounds): Promise<Measured[]> {
  // Warms up the compiler.
  for (const variant of variants) await timed(variant, calls * warmUp)
  return interleaved(variants, rounds, async (variant) => median(await timed(variant, calls)))
}

/** Calls per second with many callers at once. */
export async function throughput(
  variants: readonly Variant[],
  { rounds, seconds, callers }: { rounds: number; seconds: number; callers: number },
): Promise<Measured[]> {
  const crowd = async (variant: Variant, until: number): Promise<number> => {
    let done = 0
    const caller = async (): Promise<void> => {
      while (performance.now() < until) {
        await variant.call(next())
        done++
      }
    }
    const start = performance.now()
    await Promise.all(Array.from({ length: callers }, caller))
    return (done * 1000) / (performance.now() - start)
  }
  for (const variant of variants) await crowd(variant, performance.now() + 500)
  return interleaved(variants, rounds, (variant) => crowd(variant, performance.now() + seconds * 1000))
}

async function timed(variant: Variant, calls: number): Promise<number[]> {
  const times: number[] = []
  for (let call = 0; call < calls; call++) {
    const start = performance.now()
    await variant.call(next())
    times.push((performance.now() - start) * 1000)
  }
  return times
}

async function interleaved(
  variants: readonly Variant[],
  rounds: number,
  measure: (variant: Variant) => Promise<number>,
): Promise<Measured[]> {
  const figures = variants.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < variants.length; turn++) {
      const index = (turn + round) % variants.length
      figures[index]?.push(await measure(variants[index] as Variant))
    }
  }
  const baseline = figures[0] ?? []
  return variants.map(({ name }, index) => {
    const own = figures[index] ?? []
    const ratios = own.map((figure, round) => figure / (baseline[round] ?? Number.NaN))
    return {
      name,
      median: median(own),
      ratio: median(ratios),
      spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    }
  })
}

export const median = (figures: readonly number[]): number => quantile(figures, 0.5)

function quantile(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

let calls = 0
const next = (): number => calls++
