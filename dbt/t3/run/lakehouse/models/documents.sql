
    
      
    

    create  table
      "y"."stats"."documents__dbt_tmp"
  
  (
    "table" varchar,
    source varchar,
    snapshot varchar,
    language varchar,
    host varchar,
    documents bigint,
    words bigint,
    characters bigint,
    tokenised_documents bigint,
    tokenised_characters bigint,
    tokens bigint
    
    )
 ;
    
    
    insert into "y"."stats"."documents__dbt_tmp" 
  (
    
      
      
      "table" ,
    
      
      
      source ,
    
      
      
      snapshot ,
    
      
      
      language ,
    
      
      
      host ,
    
      
      
      documents ,
    
      
      
      words ,
    
      
      
      characters ,
    
      
      
      tokenised_documents ,
    
      
      
      tokenised_characters ,
    
      
      
      tokens 
    
  )
 (
      
    select "table", source, snapshot, language, host, documents, words, characters, tokenised_documents, tokenised_characters, tokens
    from (
        with __dbt__cte__texts as (
-- Every document of every text table, without its text.
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from "y"."lake"."raw"
union all
select "table", doc_id, source, snapshot, language, host, n_words, n_chars from "y"."lake"."filtered"
union all
select "table", doc_id, source, snapshot, language, null as host, n_words, n_chars from "y"."lake"."synthetic"
),  __dbt__cte__token_counts as (
-- Tokens of each tokenised document. Mixtures may tokenise a document each with its own tokenizer: the first by name counts.
select component as "table", doc_id, arg_min(n_tokens, "table") as tokens
from "y"."lake"."tokens"
group by all
) select
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
from __dbt__cte__texts
left join __dbt__cte__token_counts using ("table", doc_id)
group by all
order by all
    ) as model_subq
    );
  