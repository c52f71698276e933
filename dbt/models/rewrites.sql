-- What became of each recipe's outputs, and what they cost: a call that several outputs are made from is paid once.
with judged as (
    select
        "table",
        recipe,
        model,
        count(*) as outputs,
        count(*) filter (accepted) as accepted,
        sum(n_chars) filter (accepted)::bigint as accepted_chars
    from {{ source('lake', 'judgements') }}
    group by all
),

calls as (
    select distinct "table", recipe, model, unnest(request_ids) as request_id
    from {{ source('lake', 'judgements') }}
),

paid as (
    select
        request_id,
        count(*) filter (reused_from is null) as calls,
        sum(prompt_tokens) as prompt_tokens,
        sum(completion_tokens) as completion_tokens,
        sum(cost_usd) as cost_usd
    from {{ source('lake', 'generations') }}
    group by all
),

spent as (
    select
        "table",
        recipe,
        model,
        sum(paid.calls) as calls,
        sum(paid.prompt_tokens) as prompt_tokens,
        sum(paid.completion_tokens) as completion_tokens,
        sum(paid.cost_usd) as cost_usd
    from calls
    join paid using (request_id)
    group by all
)

select
    'synthetic/' || split_part(judged."table", '/', 2) as "table",
    judged.recipe,
    judged.model,
    judged.outputs,
    judged.accepted,
    judged.accepted / judged.outputs as accept_rate,
    judged.accepted_chars,
    coalesce(spent.calls, 0)::bigint as calls,
    coalesce(spent.prompt_tokens, 0)::bigint as prompt_tokens,
    coalesce(spent.completion_tokens, 0)::bigint as completion_tokens,
    coalesce(spent.cost_usd, 0)::decimal(38, 9) as cost_usd
from judged
left join spent using ("table", recipe, model)
order by all
