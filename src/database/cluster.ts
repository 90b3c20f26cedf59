/**
 * A Citus cluster refuses a second change of a schema in one transaction where the first went to its shards side by side. A plain
 * server takes any setting with a dot in its name, and nothing reads this one.
 */
export const oneShardAfterTheOther = `set local citus.multi_shard_modify_mode = 'sequential'`
