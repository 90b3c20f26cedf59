import { z } from 'zod'
import * as shape from '../schema/shared/shapes.js'

/** A query of measurements answers with this many buckets at most. */
const maxBuckets = 10_000
const maxDays = 366
const day = 86_400

/** Which measurements a query adds up, and in which steps. */
export interface BucketRange {
  /** Inclusive, and the beginning of the first bucket. At most 366 days before `to`. */
  readonly from: Date | string
  /** Exclusive. */
  readonly to: Date | string
  /** The length of a bucket in seconds. A query has 10,000 buckets at most. */
  readonly step: number
  /** Also the buckets in which nothing was recorded. Default: false. */
  readonly empty?: boolean | undefined
}

export const bucketRange = z.strictObject({
  from: shape.instant,
  to: shape.instant,
  step: shape.int(1, maxDays * day),
  empty: z.boolean().optional(),
})

type ParsedRange = Readonly<z.output<typeof bucketRange>>

/** A query that could read or return without bounds is refused before it is sent. */
export function checkRange({ from, to, step }: ParsedRange, context: z.RefinementCtx): void {
  const seconds = (to.getTime() - from.getTime()) / 1000
  const refuse = (path: string, message: string) => {
    context.addIssue({ code: 'custom', path: [path], message })
  }
  if (seconds <= 0) refuse('to', 'must be later than from')
  else if (seconds > maxDays * day) refuse('to', `is more than ${maxDays} days after from`)
  else if (Math.ceil(seconds / step) > maxBuckets)
    refuse('step', `makes more than ${maxBuckets} buckets; take a longer one`)
}

/** The beginning of the bucket that `column` falls into: `step` is the parameter with the seconds, `from` that of the range. */
export const bucketOf = (column: string, step: string, from: string): string =>
  `date_bin(${step}::int * interval '1 second', ${column}, ${from}::timestamptz)`

/** Puts a bucket made by `empty` wherever none was found. */
export function filled<Bucket extends { readonly at: Date }>(
  found: readonly Bucket[],
  { from, to, step }: ParsedRange,
  empty: (at: Date) => Bucket,
): Bucket[] {
  const byTime = new Map(found.map((bucket) => [bucket.at.getTime(), bucket]))
  const all: Bucket[] = []
  for (let at = from.getTime(); at < to.getTime(); at += step * 1000) {
    all.push(byTime.get(at) ?? empty(new Date(at)))
  }
  return all
}
