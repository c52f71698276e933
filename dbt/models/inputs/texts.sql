-- Every document of every text table, without its text.
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from {{ source('lake', 'raw') }}
union all
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from {{ source('lake', 'filtered') }}
union all
select "table", doc_id, source, snapshot, language, null as host, n_words, n_chars from {{ source('lake', 'synthetic') }}
