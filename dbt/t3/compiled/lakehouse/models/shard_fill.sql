with pieces as (
    select "table", unnest(documents) as piece
    from "y"."lake"."shards"
),

documents as (
    select
        "table",
        count(distinct piece.doc_id) as documents,
        count(distinct piece.doc_id) filter (piece.document_start > 0) as documents_split
    from pieces
    group by all
),

sequences as (
    select
        "table",
        count(distinct shard) as shards,
        count(*) as sequences,
        sum(n_tokens)::bigint as tokens,
        sum(padding)::bigint as padding
    from "y"."lake"."shards"
    group by all
)

select
    "table",
    shards,
    sequences,
    tokens,
    padding,
    tokens / (tokens + padding) as fill_share,
    coalesce(documents.documents, 0) as documents,
    coalesce(documents.documents_split, 0) as documents_split
from sequences
left join documents using ("table")
order by "table"