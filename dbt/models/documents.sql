select
    "table",
    source,
    snapshot,
    language,
    host,
    count(*) as documents,
    sum(n_words)::bigint as words,
    sum(n_chars)::bigint as characters,
    count(tokens) as tokenised_documents,
    coalesce(sum(n_chars) filter (tokens is not null), 0)::bigint as tokenised_characters,
    sum(tokens)::bigint as tokens
from {{ ref('texts') }}
left join {{ ref('token_counts') }} using ("table", doc_id)
group by all
order by all
