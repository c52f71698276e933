-- What each snapshot of each filtered set was made from: the tables that its newest commit read, and how many rows of
-- that snapshot they had in the version that was read. A source that was built again since does not change the answer.
with newest as (
    select "table", partition as snapshot, arg_max(inputs, version) as inputs
    from {{ source('lake', 'versions') }}
    where "table" like 'filtered/%'
    group by all
),

reads as (
    select "table", snapshot, unnest(map_entries(inputs::json::map(varchar, bigint))) as read
    from newest
),

sources as (
    select "table", snapshot, read.key as source_table, read.value as source_version
    from reads
    where split_part(read.key, '/', 1) in ('raw', 'filtered', 'synthetic') and read.key <> "table"
)

select
    sources."table",
    sources.snapshot,
    sources.source_table,
    coalesce(arg_max(commits.rows, commits.version), 0) as documents
from sources
left join {{ source('lake', 'versions') }} as commits
    on commits."table" = sources.source_table
    and commits.partition = sources.snapshot
    and commits.version <= sources.source_version
group by all
