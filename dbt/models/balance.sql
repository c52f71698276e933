with rejected as (
    select "table", snapshot, count(*) as documents
    from {{ source('lake', 'rejects') }}
    group by all
),

kept as (
    select "table", snapshot, sum(documents) as documents
    from {{ ref('documents') }}
    group by all
),

came_in as (
    select
        replace("table", 'files/', 'raw/') as "table",
        snapshot,
        "table" as source_table,
        sum(records) as documents,
        sum(skipped) as skipped
    from {{ source('lake', 'files') }}
    group by all

    union all

    select "table", snapshot, string_agg(source_table, ', ' order by source_table), sum(documents), 0
    from {{ ref('filtered_from') }}
    group by all
),

counted as (
    select
        came_in."table",
        came_in.snapshot,
        came_in.source_table,
        came_in.documents::bigint as documents_in,
        came_in.skipped::bigint as skipped,
        coalesce(kept.documents, 0)::bigint as kept,
        coalesce(rejected.documents, 0)::bigint as rejected
    from came_in
    left join kept using ("table", snapshot)
    left join rejected
        on rejected."table" = regexp_replace(came_in."table", '^[a-z]+/', 'rejects/')
        and rejected.snapshot = came_in.snapshot
)

select *, documents_in - skipped - kept - rejected as difference
from counted
order by all
