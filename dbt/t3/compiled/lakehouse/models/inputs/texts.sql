-- Every document of every text table, without its text.
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from "y"."lake"."raw"
union all
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from "y"."lake"."filtered"
union all
select "table", doc_id, source, snapshot, language, null as host, n_words, n_chars from "y"."lake"."synthetic"