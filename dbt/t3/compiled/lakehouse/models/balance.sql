with  __dbt__cte__filtered_from as (
-- What each snapshot of each filtered set was made from: the tables that its newest commit read, and how many rows of
-- that snapshot they had in the version that was read. A source that was built again since does not change the answer.
with newest as (
    select "table", partition as snapshot, arg_max(inputs, version) as inputs
    from "y"."lake"."versions"
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
    where (read.key like 'raw/%' or read.key like 'filtered/%') and read.key <> "table"
)

select
    sources."table",
    sources.snapshot,
    sources.source_table,
    coalesce(arg_max(commits.rows, commits.version), 0) as documents
from sources
left join "y"."lake"."versions" as commits
    on commits."table" = sources.source_table
    and commits.partition = sources.snapshot
    and commits.version <= sources.source_version
group by all
), rejected as (
    select "table", snapshot, count(*) as documents
    from "y"."lake"."rejects"
    group by all
),

kept as (
    select "table", snapshot, sum(documents) as documents
    from "y"."stats"."documents"
    group by all
),

came_in as (
    select
        replace("table", 'files/', 'raw/') as "table",
        snapshot,
        "table" as source_table,
        sum(records) as documents,
        sum(skipped) as skipped
    from "y"."lake"."files"
    group by all

    union all

    select "table", snapshot, string_agg(source_table, ', ' order by source_table), sum(documents), 0
    from __dbt__cte__filtered_from
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