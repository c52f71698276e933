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
),  __dbt__cte__texts as (
-- Every document of every text table, without its text.
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from "y"."lake"."raw"
union all
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from "y"."lake"."filtered"
union all
select "table", doc_id, source, snapshot, language, null as host, n_words, n_chars from "y"."lake"."synthetic"
), sets as (
    select "table", min(committed_at) as since
    from "y"."lake"."versions"
    where split_part("table", '/', 1) in ('raw', 'filtered', 'synthetic', 'mixtures', 'shards')
    group by all
),

archives as (
    select replace("table", 'files/', 'raw/') as "table", sum(records) as records, sum(skipped) as skipped
    from "y"."lake"."files"
    group by all
),

measured as (
    select
        "table",
        snapshot,
        sum(documents) as documents,
        sum(words) as words,
        sum(characters) as characters,
        sum(tokenised_characters) as tokenised_characters,
        sum(tokens) as tokens
    from "y"."stats"."documents"
    group by all
),

came_in as (
    select
        filtered_from."table",
        sum(filtered_from.documents) as documents,
        sum(words) as words,
        sum(characters) as characters,
        sum(tokenised_characters) as tokenised_characters,
        sum(tokens) as tokens
    from __dbt__cte__filtered_from as filtered_from
    left join measured
        on measured."table" = filtered_from.source_table and measured.snapshot = filtered_from.snapshot
    group by all
),

dropped as (
    select
        coalesce(sets."table", rejects."table") as "table",
        rejects.stage,
        rejects.rule,
        count(*) as documents,
        sum(texts.n_words) as words,
        sum(texts.n_chars) as characters
    from "y"."lake"."rejects"
    left join sets
        on regexp_replace(sets."table", '^(raw|filtered|synthetic)/', 'rejects/') = rejects."table"
    left join __dbt__cte__filtered_from as filtered_from
        on filtered_from."table" = sets."table" and filtered_from.snapshot = rejects.snapshot
    left join __dbt__cte__texts as texts
        on texts."table" = filtered_from.source_table and texts.doc_id = rejects.doc_id
    group by all
),

kept as (
    select
        sets."table",
        coalesce(sum(documents), 0) as documents,
        coalesce(sum(words), 0) as words,
        coalesce(sum(characters), 0) as characters,
        coalesce(sum(tokenised_characters), 0) as tokenised_characters,
        sum(tokens) as tokens
    from sets
    left join measured using ("table")
    where split_part(sets."table", '/', 1) in ('raw', 'filtered', 'synthetic')
    group by all
),

mixed as (
    select "table", count(distinct doc_id) as documents, sum(tokens * repeats) as tokens
    from "y"."lake"."mixtures"
    group by all
),

pieces as (
    select distinct "table", unnest(documents).doc_id as doc_id
    from "y"."lake"."shards"
),

packed as (
    select "table", documents, tokens
    from (select "table", count(*) as documents from pieces group by all)
    join (select "table", sum(n_tokens) as tokens from "y"."lake"."shards" group by all) using ("table")
),

steps as (
    select "table", 1 as place, 'records' as step, records as documents from archives
    union all by name
    select "table", 2 as place, 'skipped' as step, skipped as documents from archives
    union all by name
    select "table", 3 as place, 'pages' as step, records - skipped as documents from archives
    union all by name
    select *, 4 as place, 'in' as step from came_in
    union all by name
    select *, 0 as tokenised_characters, 5 as place, 'dropped' as step from dropped
    union all by name
    select *, 6 as place, 'kept' as step from kept
    union all by name
    select *, 0 as characters, 0 as tokenised_characters, 7 as place, 'mixed' as step from mixed
    union all by name
    select *, 0 as characters, 0 as tokenised_characters, 8 as place, 'packed' as step from packed
),

rate as (
    select sum(tokens) / nullif(sum(tokenised_characters), 0) as tokens_per_character from measured
)

select
    row_number() over (
        order by
            list_position(['raw', 'filtered', 'synthetic', 'mixtures', 'shards'], split_part("table", '/', 1)),
            sets.since,
            "table",
            place,
            -- The ledger does not say in which order its stages ran: these are known.
            coalesce(list_position(['record', 'extract', 'language', null, 'duplicates', 'gate'], stage), 4),
            documents desc,
            stage,
            rule
    ) as position,
    "table",
    step,
    stage,
    rule,
    documents::bigint as documents,
    words::bigint as words,
    tokens::bigint as tokens,
    case
        when characters = tokenised_characters then tokens
        else coalesce(tokens, 0) + (characters - tokenised_characters) * tokens_per_character
    end::bigint as estimated_tokens
from steps
cross join rate
left join sets using ("table")
order by position