select
    "table",
    recipe,
    model,
    count(*) as calls,
    count(*) filter (status = 'ok') as ok,
    count(*) filter (status = 'error') as errors,
    coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
    coalesce(sum(completion_tokens), 0)::bigint as completion_tokens,
    sum(cost_usd)::decimal(38, 9) as cost_usd
from {{ source('lake', 'generations') }}
group by all
order by all
