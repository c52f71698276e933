with sets as (
    select "table", min(committed_at) as since
    from {{ source('lake', 'versions') }}
    where split_part("table", '/', 1) in ('raw', 'filtered', 'synthetic', 'mixtures', 'shards')
    group by all
),

archives as (
    select replace("table", 'files/', 'raw/') as "table", sum(records) as records, sum(skipped) as skipped
    from {{ source('lake', 'files') }}
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
    from {{ ref('documents') }}
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
    from {{ ref('filtered_from') }} as filtered_from
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
    from {{ source('lake', 'rejects') }}
    left join sets
        on regexp_replace(sets."table", '^(raw|filtered|synthetic)/', 'rejects/') = rejects."table"
    left join {{ ref('filtered_from') }} as filtered_from
        on filtered_from."table" = sets."table" and filtered_from.snapshot = rejects.snapshot
    left join {{ ref('texts') }} as texts
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
    from {{ source('lake', 'mixtures') }}
    group by all
),

pieces as (
    select distinct "table", unnest(documents).doc_id as doc_id
    from {{ source('lake', 'shards') }}
),

packed as (
    select "table", documents, tokens
    from (select "table", count(*) as documents from pieces group by all)
    join (select "table", sum(n_tokens) as tokens from {{ source('lake', 'shards') }} group by all) using ("table")
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
