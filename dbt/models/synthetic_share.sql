with recursive reads as (
    select distinct "table", unnest(map_keys(inputs::json::map(varchar, bigint))) as source_table
    from (
        select "table", arg_max(inputs, version) as inputs
        from {{ source('lake', 'versions') }}
        where "table" like 'filtered/%'
        group by "table", partition
    )
),

-- What each filtered set was made from or compared with, where that has documents.
sources as (
    select "table", source_table
    from reads
    where "table" <> source_table and split_part(source_table, '/', 1) in ('raw', 'filtered', 'synthetic')
),

ancestors as (
    from sources
    union
    select ancestors."table", sources.source_table
    from ancestors
    join sources on sources."table" = ancestors.source_table
),

rewritten as (
    select "table", not bool_or(source_table like 'raw/%') as only_rewrites
    from ancestors
    group by "table"
    having bool_or(source_table like 'synthetic/%')
),

members as (
    select "table", component, doc_id, sum(tokens * repeats) as tokens
    from {{ source('lake', 'mixtures') }}
    group by all
),

-- The synthetic sets that documents of each component may come from. Ids alone do not tell: two models may rewrite the
-- same documents by the same recipe.
origins_of as (
    select distinct component, component as place
    from {{ source('lake', 'mixtures') }}
    where component like 'synthetic/%'
    union all
    select "table", source_table from ancestors where source_table like 'synthetic/%'
),

written as (
    select
        origins_of.component,
        doc_id,
        min({'above': -depth, 'recipe': recipe, 'model': model}) as origin
    from {{ source('lake', 'synthetic') }} as synthetic
    join origins_of on origins_of.place = synthetic."table"
    group by all
),

-- Filtered rows have the id of the row that they were made from. What has another is followed, set by set.
upwards as (
    select distinct component, doc_id, component as place, doc_id as ancestor
    from members
    semi join rewritten on rewritten."table" = members.component
    anti join written using (component, doc_id)

    union

    select upwards.component, upwards.doc_id, sources.source_table, filtered.ancestor
    from upwards
    join sources on sources."table" = upwards.place and sources.source_table not like 'raw/%'
    join (select "table", doc_id, unnest(parents) as ancestor from {{ source('lake', 'filtered') }}) as filtered
        on filtered."table" = upwards.place and filtered.doc_id = upwards.ancestor
),

followed as (
    select upwards.component, upwards.doc_id, min({'above': -depth, 'recipe': recipe, 'model': model}) as origin
    from upwards
    join {{ source('lake', 'synthetic') }} as synthetic
        on synthetic."table" = upwards.place and synthetic.doc_id = upwards.ancestor
    group by all
),

traced as (
    select
        members."table",
        members.tokens,
        coalesce(written.origin, followed.origin) as origin,
        coalesce(component like 'synthetic/%' or rewritten.only_rewrites, false) as by_a_model
    from members
    left join written using (component, doc_id)
    left join followed using (component, doc_id)
    left join rewritten on rewritten."table" = component
),

known as (
    select
        "table",
        origin.recipe as recipe,
        origin.model as model,
        case when origin is not null then -origin.above when not by_a_model then 0 end as depth,
        tokens
    from traced
)

select
    "table",
    recipe,
    model,
    depth,
    count(*) as documents,
    sum(tokens)::bigint as tokens,
    sum(tokens) / sum(sum(tokens)) over (partition by "table") as share
from known
group by "table", recipe, model, depth
order by "table", depth, recipe, model
